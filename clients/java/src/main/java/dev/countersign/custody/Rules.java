package dev.countersign.custody;

import com.fasterxml.jackson.databind.JsonNode;
import java.math.BigInteger;
import java.time.YearMonth;
import java.util.List;
import java.util.Map;

/** What a leaf must be beyond its schema, because JSON Schema cannot say it. By the name of the definition. */
final class Rules {
    /** Checks of a value that fits its definition already. */
    static final Map<String, Check> EACH =
            Map.of("attribute", Rules::attribute, "decimal", Rules::decimal, "time", Rules::time);
    /**
     * What lists of a definition are sorted by, each once; empty: by the items themselves. The only list of hashes is
     * {@code grounds}. Every string that fits its definition is ASCII, so Java's order of UTF-16 is the order of
     * the bytes.
     */
    static final Map<String, List<String>> ORDER = Map.of("attribute", List.of("name"), "change", List.of("field"),
            "charge", List.of("meter", "key"), "count", List.of("kind", "sponsor_id", "tool_id"), "emitter",
            List.of("emitter_id"), "figure", List.of("name"), "hash", List.of());

    private Rules() {}

    /** Whether the text is the one spelling of an integer of 64 bits without a sign. */
    static boolean isUnsigned(String text) {
        return text.matches("0|[1-9][0-9]{0,19}") && new BigInteger(text).bitLength() <= 64;
    }

    private static Refusal attribute(JsonNode attribute, String path) {
        boolean isInteger = "integer".equals(attribute.get("type").textValue());
        if (!isInteger || new BigInteger(attribute.get("value").textValue()).bitLength() < 64) {
            return null;
        }
        return new Refusal(path + ".value", "a signed 64-bit integer as a string of decimal digits");
    }

    private static Refusal decimal(JsonNode value, String path) {
        return isUnsigned(value.textValue()) ? null : new Refusal(path, "at most 18446744073709551615");
    }

    private static Refusal time(JsonNode value, String path) {
        // The schema leaves the days past the end of a month: 2026-02-30.
        String text = value.textValue();
        boolean exists = YearMonth.parse(text.substring(0, 7)).isValidDay(Integer.parseInt(text.substring(8, 10)));
        return exists ? null : new Refusal(path, "a day that exists");
    }
}
