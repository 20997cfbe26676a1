package dev.countersign.custody;

/**
 * A value does not fit.
 *
 * @param field the field, with dots between parts
 * @param wanted what would fit
 */
record Refusal(String field, String wanted) {
    /** An unknown field, by its name where that looks like a field's: it may be any text. */
    static Refusal unknown(String path, String name) {
        return name.matches("[a-z_]{1,64}") ? new Refusal(join(path, name), "absent")
                : new Refusal(path.isEmpty() ? "leaf" : path, "free of unknown fields");
    }

    static String join(String path, String name) {
        return path.isEmpty() ? name : path + "." + name;
    }
}
