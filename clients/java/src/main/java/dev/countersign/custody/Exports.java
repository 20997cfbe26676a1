package dev.countersign.custody;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;

/** Exported events: a leaf, its place in the log, its hash, and the texts that are disclosed. */
final class Exports {
    /** A disclosed text: the keys of the text, of its salt, and of the leaf's commitment to it. */
    private record Disclosed(String text, String salt, String commitment) {
        /** Takes the text and its salt out of {@code fields}; gives their commitment, null where neither is there. */
        String take(ObjectNode fields) {
            if (!fields.has(text) && !fields.has(salt)) {
                return null;
            }
            JsonNode words = fields.remove(text);
            JsonNode digits = fields.remove(salt);
            if (words == null || digits == null || !words.isTextual() || !digits.isTextual()) {
                throw new NotALeaf(text, "a string, with its salt beside it");
            }
            if (!digits.textValue().matches("[0-9a-f]{32}")) {
                throw new NotALeaf(salt, "32 lower-case hexadecimal digits");
            }
            try {
                return Custody.commitment(HexFormat.of().parseHex(digits.textValue()), words.textValue());
            } catch (NotALeaf error) {
                throw new NotALeaf(text, error.wanted());
            }
        }
    }

    private static final List<Disclosed> TEXTS = List.of(
            new Disclosed("purpose", "purpose_salt", "purpose_commitment"),
            // reason is the leaf's own reason code.
            new Disclosed("reason_text", "reason_salt", "reason_commitment"),
            new Disclosed("identity", "identity_salt", "identity_commitment"),
            // context is the leaf's own list of recorded attributes.
            new Disclosed("context_text", "context_salt", "context_commitment"),
            new Disclosed("on_behalf_of", "on_behalf_of_salt", "on_behalf_of_commitment"));

    private Exports() {}

    static byte[] leaf(JsonNode event) {
        if (!(event instanceof ObjectNode object)) {
            throw new NotALeaf("export", "one JSON object");
        }
        ObjectNode fields = JsonNodeFactory.instance.objectNode().setAll(object);
        Map<Disclosed, String> commitments = new HashMap<>();
        TEXTS.forEach(text -> commitments.put(text, text.take(fields)));
        JsonNode index = fields.remove("log_index");
        if (index == null || !index.isTextual() || !Rules.isUnsigned(index.textValue())) {
            throw new NotALeaf("log_index", "a 64-bit integer as a string of decimal digits");
        }
        JsonNode stated = fields.remove("leaf_hash");
        byte[] data = Leaves.encode(fields);
        if (stated == null || !Custody.leafHash(data).equals(stated.textValue())) {
            throw new NotALeaf("leaf_hash", "the hash of this leaf");
        }
        for (Disclosed text : TEXTS) {
            String opened = commitments.get(text);
            if (opened != null && !opened.equals(fields.path(text.commitment()).textValue())) {
                throw new NotALeaf(text.text(), "the text that the leaf commits to");
            }
        }
        return data;
    }
}
