/**
 * Reads the leaves of the custody log, byte for byte (docs/custody-leaf.md), offline.
 *
 * <p>{@link dev.countersign.custody.Custody} has the four methods; what is no leaf is refused with {@link
 * dev.countersign.custody.NotALeaf}.
 */
package dev.countersign.custody;
