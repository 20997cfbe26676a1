package dev.countersign.client;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import java.io.IOException;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class CanonicalArgumentsTest {
    private static final ObjectMapper JSON =
            new ObjectMapper().enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);

    /** One of the shared vectors. */
    record Case(String name, String json, String sha256, String canonical, String path, boolean textOnly,
            boolean textRefuses) {
        static Case of(JsonNode one) {
            return new Case(one.get("name").textValue(), one.get("json").textValue(), one.path("sha256").textValue(),
                    one.path("canonical").textValue(), one.path("path").textValue(),
                    one.path("text_only").booleanValue(), one.path("text_refuses").booleanValue());
        }

        @Override
        public String toString() {
            return name;
        }
    }

    static Stream<Case> cases() throws IOException {
        JsonNode cases = JSON.readTree(Files.readString(Path.of("../conformance/canonical.json"))).get("cases");
        return StreamSupport.stream(cases.spliterator(), false).map(Case::of);
    }

    @ParameterizedTest
    @MethodSource("cases")
    void textsAgree(Case one) {
        if (one.sha256() == null || one.textRefuses()) {
            // Where a key is twice, Jackson says so in words alone.
            assertThrows(UnhashableArguments.class, () -> CanonicalArguments.requestHashOfText(one.json()));
            return;
        }
        assertEquals(one.sha256(), hex(CanonicalArguments.requestHashOfText(one.json())));
    }

    @ParameterizedTest
    @MethodSource("cases")
    void valuesAgree(Case one) {
        JsonNode value;
        try {
            value = JSON.readTree(one.json());
        } catch (JsonProcessingException refused) {
            assertEquals(null, one.sha256());
            return;
        }
        if (one.textOnly() || value.isMissingNode()) {
            return;
        }
        if (one.sha256() == null) {
            UnhashableArguments refused =
                    assertThrows(UnhashableArguments.class, () -> CanonicalArguments.requestHash(value));
            assertEquals(one.path() == null ? refused.path() : one.path(), refused.path());
            return;
        }
        assertEquals(one.sha256(), hex(CanonicalArguments.requestHash(value)));
        // As Java has it, without Jackson.
        Object plain = JSON.convertValue(value, Map.class);
        assertEquals(one.sha256(), hex(CanonicalArguments.requestHash(plain)));
        if (one.canonical() != null) {
            assertArrayEquals(one.canonical().getBytes(StandardCharsets.UTF_8), CanonicalArguments.bytes(value));
        }
    }

    private static String hex(byte[] bytes) {
        return HexFormat.of().formatHex(bytes);
    }

    enum Colour { RED }

    record Money(int cents) {}

    static Stream<Arguments> others() {
        JsonNodeFactory nodes = JsonNodeFactory.instance;
        return Stream.of(
                Arguments.of(Map.of("v", new byte[] {1}), "v"),
                Arguments.of(Map.of("v", nodes.binaryNode(new byte[] {1})), "v"),
                Arguments.of(Map.of("v", nodes.pojoNode(new Money(1))), "v"),
                Arguments.of(Map.of("v", new BigDecimal("1.10")), "v"),
                Arguments.of(Map.of("v", LocalDate.EPOCH), "v"),
                Arguments.of(Map.of("v", Colour.RED), "v"),
                Arguments.of(Map.of("v", new Money(1)), "v"),
                Arguments.of(Map.of("v", new int[] {1}), "v"),
                Arguments.of(Map.of("v", Set.of(1)), "v"),
                Arguments.of(Map.of("v", Optional.of(1)), "v"),
                Arguments.of(Map.of("v", 'c'), "v"),
                Arguments.of(Map.of("v", Double.NaN), "v"),
                Arguments.of(Map.of("v", Float.NEGATIVE_INFINITY), "v"),
                Arguments.of(Map.of("v", 1L << 53), "v"),
                Arguments.of(Map.of("v", List.of(0, Map.of("w", BigInteger.TEN.pow(400)))), "v[1].w"),
                Arguments.of(Map.of("v", Map.of(1, 2)), "v"),
                Arguments.of(Map.of("v", Collections.singletonMap(null, 2)), "v"),
                Arguments.of(Map.of("v", "\ud800"), "v"),
                Arguments.of(Map.of("\udc00", 1), ""),
                Arguments.of(List.of(1), ""),
                Arguments.of("x", ""),
                Arguments.of(null, ""));
    }

    @ParameterizedTest
    @MethodSource("others")
    void nothingIsCoerced(Object value, String path) {
        UnhashableArguments refused =
                assertThrows(UnhashableArguments.class, () -> CanonicalArguments.requestHash(value));
        assertEquals(path, refused.path());
    }

    @Test
    void nestingAndLengthAreBounded() {
        List<Object> cycle = new ArrayList<>();
        cycle.add(cycle);
        assertThrows(UnhashableArguments.class, () -> CanonicalArguments.bytes(Map.of("v", cycle)));
        assertEquals(1 << 20, CanonicalArguments.bytes(Map.of("v", "x".repeat((1 << 20) - 8))).length);
        Map<String, String> longer = Map.of("v", "x".repeat((1 << 20) - 7));
        assertThrows(UnhashableArguments.class, () -> CanonicalArguments.bytes(longer));
    }

    @Test
    void nullsStay() {
        Map<String, Object> arguments = new HashMap<>(Map.of("a", Arrays.asList(1, null)));
        arguments.put("b", null);
        assertEquals("{\"a\":[1,null],\"b\":null}",
                new String(CanonicalArguments.bytes(arguments), StandardCharsets.UTF_8));
    }
}
