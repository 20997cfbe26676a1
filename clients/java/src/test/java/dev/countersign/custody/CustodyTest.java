package dev.countersign.custody;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.MapperFeature;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.DoubleNode;
import com.fasterxml.jackson.databind.node.MissingNode;
import com.fasterxml.jackson.databind.node.NullNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.node.TextNode;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Named;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class CustodyTest {
    private static final JsonMapper JSON = JsonMapper.builder().enable(MapperFeature.SORT_PROPERTIES_ALPHABETICALLY)
            .enable(SerializationFeature.ORDER_MAP_ENTRIES_BY_KEYS).build();
    private static final JsonNode VECTORS = vectors();
    private static final ObjectNode MANIFEST = leaf("manifest");

    private static JsonNode vectors() {
        try {
            return JSON.readTree(Files.readString(Path.of("../conformance/custody-leaf.json")));
        } catch (IOException error) {
            throw new IllegalStateException(error);
        }
    }

    private static Stream<JsonNode> of(String section) {
        return StreamSupport.stream(VECTORS.get(section).spliterator(), false);
    }

    private static ObjectNode leaf(String kind) {
        return of("leaves").<ObjectNode>map(vector -> vector.withObject("/fields"))
                .filter(fields -> fields.get("kind").textValue().equals(kind)).findFirst().orElseThrow().deepCopy();
    }

    private static ObjectNode export(String field) {
        return of("exports").<ObjectNode>map(vector -> vector.withObject("/export"))
                .filter(event -> event.has(field)).findFirst().orElseThrow().deepCopy();
    }

    private static Stream<Named<JsonNode>> named(String section, String name) {
        return of(section).map(vector -> Named.of(vector.get(name).textValue(), vector));
    }

    static Stream<Named<JsonNode>> leaves() {
        return named("leaves", "name");
    }

    static Stream<Named<JsonNode>> refused() {
        return named("refused", "why");
    }

    static Stream<Named<JsonNode>> exports() {
        return named("exports", "name");
    }

    static Stream<Named<JsonNode>> refusedExports() {
        return named("refused_exports", "why");
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** As a leaf is written, also where it is none. */
    private static byte[] encoded(JsonNode fields) {
        try {
            // A JsonNode keeps its own order of keys; a Map is sorted.
            return bytes(JSON.writeValueAsString(JSON.treeToValue(fields, Map.class)));
        } catch (JsonProcessingException error) {
            throw new IllegalStateException(error);
        }
    }

    /** The fields of a leaf; missing where it is refused. */
    private static JsonNode accepted(byte[] data) {
        try {
            return Custody.readLeaf(data);
        } catch (NotALeaf error) {
            assertEquals(error.field() + " must be " + error.wanted(), error.getMessage());
            assertFalse(error.field().isEmpty());
            return MissingNode.getInstance();
        }
    }

    private static void assertRefused(byte[] data) {
        assertTrue(accepted(data).isMissingNode(), () -> new String(data, StandardCharsets.UTF_8));
    }

    /** Every object within {@code value}, itself first. */
    private static List<ObjectNode> parts(JsonNode value) {
        List<ObjectNode> found = new ArrayList<>();
        if (value instanceof ObjectNode object) {
            found.add(object);
        }
        value.forEach(inner -> found.addAll(parts(inner)));
        return found;
    }

    @ParameterizedTest
    @MethodSource("leaves")
    void leavesAreReadAndHashed(JsonNode vector) {
        byte[] data = bytes(vector.get("leaf_bytes").textValue());
        assertEquals(vector.get("fields"), Custody.readLeaf(data));
        assertEquals(vector.get("leaf_hash").textValue(), Custody.leafHash(data));
    }

    @ParameterizedTest
    @MethodSource("refused")
    void whatIsNoLeafIsRefused(JsonNode vector) {
        assertRefused(bytes(vector.get("leaf_bytes").textValue()));
    }

    @ParameterizedTest
    @MethodSource("exports")
    void exportsGiveTheirLeafBack(JsonNode vector) {
        JsonNode before = vector.get("export").deepCopy();
        byte[] data = Custody.leafFromExport(vector.get("export"));
        assertEquals(vector.get("leaf_hash").textValue(), Custody.leafHash(data));
        Custody.readLeaf(data).properties().forEach(field -> assertEquals(before.get(field.getKey()), field.getValue()));
        assertEquals(before, vector.get("export"));
    }

    @ParameterizedTest
    @MethodSource("refusedExports")
    void whatIsNoExportIsRefused(JsonNode vector) {
        assertThrows(NotALeaf.class, () -> Custody.leafFromExport(vector.get("export")));
    }

    @Test
    void commitmentsAgree() {
        of("commitments").forEach(vector -> {
            byte[] salt = HexFormat.of().parseHex(vector.get("salt").textValue());
            assertEquals(vector.get("commitment").textValue(), Custody.commitment(salt, vector.get("text").textValue()));
        });
    }

    @Test
    void trapsAreRefused() {
        String text = new String(encoded(MANIFEST), StandardCharsets.UTF_8);
        Custody.readLeaf(bytes(text));
        Stream.of(text + "\n", text + "\r\n", " " + text, text + "\0", "\ufeff" + text, text + "\u0661", "",
                "[".repeat(100_000), "[".repeat(16_384), "[".repeat(8_192) + "]".repeat(8_192),
                "{\"action\":".repeat(1_600), "{\"action\":" + "9".repeat(16_000) + "}",
                text.replace("\"2\"", "-Infinity")).forEach(trap -> assertRefused(bytes(trap)));
        for (String within : List.of("\u00ff", "\u00ed\u00a0\u0080", "\u00c0\u00ae")) {
            String other = text.substring(0, 20) + within + text.substring(20);
            assertRefused(other.getBytes(StandardCharsets.ISO_8859_1));
        }
        assertRefused(text.getBytes(StandardCharsets.UTF_16));
    }

    @Test
    void aLeafHasAtMost16384Bytes() {
        ObjectNode fields = MANIFEST.deepCopy();
        ArrayNode rules = fields.putArray("rule_ids").add("z");
        while (rules.size() < 123) {
            rules.add("x".repeat(128));
        }
        int room = 1 + 16_384 - encoded(fields).length;
        rules.set(0, TextNode.valueOf("z".repeat(room)));
        assertEquals(fields, Custody.readLeaf(encoded(fields)));
        rules.set(0, TextNode.valueOf("z".repeat(room + 1)));
        assertRefused(encoded(fields));
        fields.put("leaf_hash", Custody.leafHash(encoded(fields))).put("log_index", "0");
        NotALeaf error = assertThrows(NotALeaf.class, () -> Custody.leafFromExport(fields));
        assertEquals("leaf must be at most 16384 bytes", error.getMessage());
    }

    @Test
    void aFlippedBitIsRefusedOrAnotherLeaf() {
        of("leaves").forEach(vector -> {
            byte[] data = bytes(vector.get("leaf_bytes").textValue());
            for (int place = 0; place < data.length; place++) {
                byte[] other = data.clone();
                other[place] ^= (byte) (1 << place % 8);
                assertNotEquals(vector.get("fields"), accepted(other));
            }
        });
    }

    @Test
    void aRemovedFieldIsMissedAndAnAddedOneRefused() {
        of("leaves").forEach(vector -> {
            JsonNode fields = vector.get("fields").deepCopy();
            for (ObjectNode part : parts(fields)) {
                for (Map.Entry<String, JsonNode> field : List.copyOf(part.properties())) {
                    part.remove(field.getKey());
                    JsonNode leaf = accepted(encoded(fields));
                    assertTrue(leaf.isMissingNode() || leaf.equals(fields), field.getKey());
                    part.set(field.getKey(), NullNode.getInstance());
                    assertRefused(encoded(fields));
                    part.set(field.getKey(), field.getValue());
                }
                for (String name : List.of("zz", "")) {
                    part.put(name, "x");
                    assertRefused(encoded(fields));
                    part.remove(name);
                }
            }
            for (String name : List.of("event_id", "kind", "received_time", "schema", "timestamp")) {
                assertRefused(encoded(fields.<ObjectNode>deepCopy().without(name)));
            }
        });
    }

    @Test
    void aNumberOfAnExportIsAnInteger() {
        ObjectNode event = export("rollout");
        for (JsonNode value : List.of(DoubleNode.valueOf(30), TextNode.valueOf("30"), NullNode.getInstance())) {
            event.withObject("/rollout").set("percent", value);
            assertThrows(NotALeaf.class, () -> Custody.leafFromExport(event));
        }
        for (JsonNode other : List.of(NullNode.getInstance(), JSON.createArrayNode(), TextNode.valueOf("x"))) {
            assertThrows(NotALeaf.class, () -> Custody.leafFromExport(other));
        }
    }

    @Test
    void halfOfASurrogatePairHasNoCommitment() {
        assertThrows(NotALeaf.class, () -> Custody.commitment(new byte[16], "a\ud800"));
        assertThrows(NotALeaf.class, () -> Custody.commitment(new byte[15], "a"));
        ObjectNode event = export("purpose").put("purpose", "\udfff");
        assertEquals("purpose", assertThrows(NotALeaf.class, () -> Custody.leafFromExport(event)).field());
    }

    @Test
    void aRefusalNeverRepeatsTheValue() {
        byte[] data = encoded(MANIFEST.deepCopy().put("operator_id", "Alice"));
        String message = assertThrows(NotALeaf.class, () -> Custody.readLeaf(data)).getMessage();
        assertTrue(message.startsWith("operator_id must be an id that people choose: "), message);
        assertFalse(message.contains("Alice"), message);
    }

    @ParameterizedTest
    @ValueSource(strings = {"{'maxProperties': 2}", "{'pattern': 'a'}", "{'const': 1}", "{'not': {'type': 'string'}}"})
    void aSchemaThatIsNotUnderstoodIsNotUsed(String schema) throws IOException {
        JsonNode document = JSON.readTree(schema.replace('\'', '"'));
        assertThrows(IllegalStateException.class, () -> LeafSchema.compile(document));
    }
}
