package dev.countersign.custody;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/** The reader of the custody log's leaves, and the two hashes of the format. */
public final class Custody {
    /** Length of a salt, bytes. */
    private static final int SALT_BYTES = 16;

    private Custody() {}

    /**
     * The fields of the leaf whose bytes are {@code data}: strings, integers of at most 32 bits, booleans, lists and
     * objects. Accepts exactly the bytes that the log can hold: written again, the fields give the same bytes.
     *
     * @throws NotALeaf for any other bytes
     */
    public static ObjectNode readLeaf(byte[] data) {
        return Leaves.read(data);
    }

    /**
     * The bytes of the leaf of an exported event, as Jackson reads one line of an export. The event stays as it is.
     *
     * @throws NotALeaf where what is left without the keys around the leaf is no leaf, where its hash is not the
     *     event's {@code leaf_hash}, and where a disclosed text is not the one that the leaf commits to
     */
    public static byte[] leafFromExport(JsonNode event) {
        return Exports.leaf(event);
    }

    /** The leaf hash of RFC 6962: SHA-256(0x00 || data), 64 lower-case hexadecimal digits. */
    public static String leafHash(byte[] data) {
        return sha256(new byte[1], ByteBuffer.wrap(data));
    }

    /**
     * SHA-256(salt || text), 64 lower-case hexadecimal digits.
     *
     * @param salt 16 bytes
     * @param text hashed as UTF-8
     * @throws NotALeaf where the salt has another length or the text holds half of a surrogate pair
     */
    public static String commitment(byte[] salt, String text) {
        if (salt.length != SALT_BYTES) {
            throw new NotALeaf("salt", SALT_BYTES + " bytes");
        }
        try {
            // String.getBytes would write a question mark, and two texts would have one commitment.
            return sha256(salt, StandardCharsets.UTF_8.newEncoder().encode(CharBuffer.wrap(text)));
        } catch (CharacterCodingException error) {
            throw new NotALeaf("text", "text that UTF-8 can hold");
        }
    }

    private static String sha256(byte[] first, ByteBuffer second) {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            digest.update(first);
            digest.update(second);
            return HexFormat.of().formatHex(digest.digest());
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException("every Java platform must have SHA-256", error);
        }
    }
}
