package dev.countersign.examples;

/** The server did not do what the story expects. */
final class StoryException extends RuntimeException {
    private static final long serialVersionUID = 1;

    StoryException(String message) {
        super(message);
    }
}
