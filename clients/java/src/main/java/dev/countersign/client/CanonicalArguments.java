package dev.countersign.client;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

/**
 * Canonical arguments: what a {@code request_hash} is the hash of (docs/verification.md).
 *
 * <p>The arguments of a call are one JSON object, and their bytes are its RFC 8785 form, so that every language hashes
 * the same. A value that JSON cannot hold, or that another parser could read differently, is refused with {@link
 * UnhashableArguments} before anything is sent. Nothing is ever coerced.
 */
public final class CanonicalArguments {
    /** Most bytes of the canonical form. */
    private static final int MAX_BYTES = 1 << 20;
    /** One reading, and every digit of it. */
    private static final JsonMapper STRICT = JsonMapper.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS)
            .enable(DeserializationFeature.USE_BIG_INTEGER_FOR_INTS).build();

    private CanonicalArguments() {}

    /**
     * The RFC 8785 form of {@code arguments}: a {@code Map} with {@code String} keys, or an object as {@code JsonNode}.
     * Its values are strings, booleans, null, lists, such maps, and numbers that are no {@code BigDecimal}.
     */
    public static byte[] bytes(Object arguments) {
        byte[] form = CanonicalWriter.write(arguments).getBytes(StandardCharsets.UTF_8);
        if (form.length > MAX_BYTES) {
            throw new UnhashableArguments("", "they are longer than 1 MiB in canonical form");
        }
        return form;
    }

    /** The RFC 8785 form of arguments that came as JSON text: no key twice, no number that another parser rounds. */
    public static byte[] bytesOfText(String json) {
        return bytes(parse(json));
    }

    /** SHA-256 of {@link #bytes}: what {@code DecideRequest.request_hash} takes. */
    public static byte[] requestHash(Object arguments) {
        return sha256(bytes(arguments));
    }

    /** SHA-256 of {@link #bytesOfText}. */
    public static byte[] requestHashOfText(String json) {
        return sha256(bytesOfText(json));
    }

    private static JsonNode parse(String json) {
        try {
            return STRICT.readTree(json);
        } catch (JsonProcessingException error) {
            throw new UnhashableArguments("", "it is not JSON with one reading: " + error.getOriginalMessage());
        }
    }

    private static byte[] sha256(byte[] bytes) {
        try {
            return MessageDigest.getInstance("SHA-256").digest(bytes);
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException("every Java platform must have SHA-256", error);
        }
    }
}
