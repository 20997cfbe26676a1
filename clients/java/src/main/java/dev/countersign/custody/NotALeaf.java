package dev.countersign.custody;

/** The bytes are no leaf, or the event is no export of one. The message never repeats the refused value. */
public final class NotALeaf extends RuntimeException {
    private static final long serialVersionUID = 1;

    private final String field;
    private final String wanted;

    NotALeaf(String field, String wanted) {
        super(field + " must be " + wanted);
        this.field = field;
        this.wanted = wanted;
    }

    NotALeaf(Refusal refusal) {
        this(refusal.field(), refusal.wanted());
    }

    /** Where, with dots between parts: {@code charges.amount}. {@code leaf}: the leaf as a whole. */
    public String field() {
        return field;
    }

    /** What would fit there. */
    public String wanted() {
        return wanted;
    }
}
