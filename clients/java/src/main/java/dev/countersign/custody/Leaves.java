package dev.countersign.custody;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import org.erdtman.jcs.JsonCanonicalizer;

/** Leaves between their bytes and their fields. */
final class Leaves {
    /** Longest leaf, bytes. */
    private static final int MAX_BYTES = 16_384;
    /** The keys of an export that are not the leaf's. */
    private static final List<String> NON_LEAF_KEYS = List.of("context_salt", "context_text", "identity",
            "identity_salt", "leaf_hash", "log_index", "on_behalf_of", "on_behalf_of_salt", "purpose", "purpose_salt",
            "reason_salt", "reason_text");
    private static final JsonMapper STRICT = JsonMapper.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS).build();
    /** Compiled when the first leaf is read. */
    private static final Check CHECK = check();

    private Leaves() {}

    static ObjectNode read(byte[] data) {
        if (data.length > MAX_BYTES) {
            throw new NotALeaf("leaf", "at most " + MAX_BYTES + " bytes");
        }
        for (byte each : data) {
            // So no string is escaped, and no text has two spellings. Bytes beyond ASCII are negative.
            if (each <= ' ' || each > '~' || each == '\\') {
                throw new NotALeaf("leaf", "visible ASCII without white space and backslashes");
            }
        }
        JsonNode leaf = parse(new String(data, StandardCharsets.US_ASCII));
        // What the parser smoothed over shows here: keys out of order, -0 for 0.
        if (!Arrays.equals(encode(leaf), data)) {
            throw new NotALeaf("leaf", "in its canonical form (RFC 8785)");
        }
        return (ObjectNode) leaf;
    }

    /** The bytes of the leaf with these fields. */
    static byte[] encode(JsonNode leaf) {
        if (!(leaf instanceof ObjectNode fields)) {
            throw new NotALeaf("leaf", "one JSON object");
        }
        for (String key : NON_LEAF_KEYS) {
            if (fields.has(key)) {
                throw new NotALeaf(key, "absent");
            }
        }
        // The schema describes a leaf in its exported form, so what an export holds beside it is put in valid places.
        ObjectNode exported = STRICT.createObjectNode().setAll(fields);
        exported.put("leaf_hash", "0".repeat(64)).put("log_index", "0");
        Refusal refusal = CHECK.of(exported, "");
        if (refusal != null) {
            throw new NotALeaf(refusal);
        }
        // Only now: what fits the schema is nested three deep at most, and holds no number that has two forms.
        byte[] data = canonical(fields.toString());
        if (data.length > MAX_BYTES) {
            throw new NotALeaf("leaf", "at most " + MAX_BYTES + " bytes");
        }
        return data;
    }

    private static JsonNode parse(String text) {
        try {
            return STRICT.readTree(text);
        } catch (JsonProcessingException error) {
            throw new NotALeaf("leaf", "one JSON object with each key once");
        }
    }

    private static byte[] canonical(String text) {
        try {
            return new JsonCanonicalizer(text).getEncodedUTF8();
        } catch (IOException error) {
            throw new NotALeaf("leaf", "one JSON object");
        }
    }

    private static Check check() {
        try (InputStream schema = Leaves.class.getResourceAsStream("audit-log-schema.json")) {
            return LeafSchema.compile(STRICT.readTree(schema));
        } catch (IOException error) {
            throw new IllegalStateException("audit-log-schema.json is packaged with this class", error);
        }
    }
}
