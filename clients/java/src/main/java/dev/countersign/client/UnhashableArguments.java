package dev.countersign.client;

/** The arguments have no canonical form. This is no denial: nothing was asked, and the call must not be made. */
public final class UnhashableArguments extends RuntimeException {
    private static final long serialVersionUID = 1;

    private final String path;
    private final String why;

    UnhashableArguments(String path, String why) {
        super(path.isEmpty() ? why : path + ": " + why);
        this.path = path;
        this.why = why;
    }

    /** Where: {@code items[2].amount}. Empty: the arguments as a whole. */
    public String path() {
        return path;
    }

    /** What is wrong there. */
    public String why() {
        return why;
    }
}
