package dev.countersign.custody;

import static dev.countersign.custody.Refusal.join;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.regex.Pattern;

/**
 * The keywords of JSON Schema that look at one value and at no other schema. Each makes a check of its schema.
 *
 * <p>As in JSON Schema, a keyword lets values of a type that it does not speak of through: {@code type} refuses those.
 */
final class Keywords {
    /** In the order in which they are looked at, which is the same in every client. */
    static final Map<String, Function<JsonNode, Check>> ALL = new LinkedHashMap<>();

    private record Type(Predicate<JsonNode> fits, String wanted) {}

    private static final Map<String, Type> TYPES = Map.of(
            "object", new Type(JsonNode::isObject, "an object"),
            "array", new Type(JsonNode::isArray, "a list"),
            "string", new Type(JsonNode::isTextual, "a string"),
            "integer", new Type(JsonNode::isIntegralNumber, "an integer"),
            "boolean", new Type(JsonNode::isBoolean, "true or false"));

    static {
        ALL.put("type", Keywords::type);
        ALL.put("const", schema -> words(List.of(schema.get("const"))));
        ALL.put("enum", schema -> words(list(schema.get("enum"))));
        ALL.put("pattern", Keywords::pattern);
        ALL.put("maxLength", schema -> holds("string", "at most " + number(schema, "maxLength") + " characters",
                value -> value.textValue().codePoints().count() <= number(schema, "maxLength")));
        ALL.put("minimum", schema -> holds("integer", "at least " + number(schema, "minimum"),
                value -> value.decimalValue().compareTo(schema.get("minimum").decimalValue()) >= 0));
        ALL.put("maximum", schema -> holds("integer", "at most " + number(schema, "maximum"),
                value -> value.decimalValue().compareTo(schema.get("maximum").decimalValue()) <= 0));
        ALL.put("minItems", schema -> holds("array", "a list of at least " + number(schema, "minItems"),
                value -> value.size() >= number(schema, "minItems")));
        ALL.put("maxItems", schema -> holds("array", "a list of at most " + number(schema, "maxItems"),
                value -> value.size() <= number(schema, "maxItems")));
        ALL.put("not", Keywords::not);
        ALL.put("required", Keywords::required);
        ALL.put("dependentRequired", Keywords::dependent);
    }

    private Keywords() {}

    static IllegalStateException unsupported(String what) {
        return new IllegalStateException("docs/audit-log-schema.json: " + what);
    }

    private static long number(JsonNode schema, String keyword) {
        return schema.get(keyword).longValue();
    }

    private static List<JsonNode> list(JsonNode array) {
        List<JsonNode> list = new ArrayList<>();
        array.forEach(list::add);
        return list;
    }

    /** What the schema says of itself, to follow "must be". */
    private static String wanted(JsonNode schema) {
        String words = schema.get("description").textValue().replaceFirst("\\.$", "");
        return Character.toLowerCase(words.charAt(0)) + words.substring(1);
    }

    private static Check holds(String type, String wanted, Predicate<JsonNode> fits) {
        Predicate<JsonNode> other = TYPES.get(type).fits().negate();
        return (value, path) -> other.or(fits).test(value) ? null : new Refusal(path, wanted);
    }

    private static Check type(JsonNode schema) {
        Type type = TYPES.get(schema.get("type").textValue());
        if (type == null) {
            throw unsupported("a type that is not known");
        }
        return (value, path) -> type.fits().test(value) ? null : new Refusal(path, type.wanted());
    }

    private static Check words(List<JsonNode> nodes) {
        if (!nodes.stream().allMatch(JsonNode::isTextual)) {
            throw unsupported("an enum or const that is no string");
        }
        List<String> words = nodes.stream().map(JsonNode::textValue).toList();
        String wanted = words.size() < 8 ? String.join(" or ", words) : "one of the words that the schema lists";
        return (value, path) -> value.isTextual() && words.contains(value.textValue())
                ? null : new Refusal(path, wanted);
    }

    private static Check pattern(JsonNode schema) {
        String text = schema.get("pattern").textValue();
        if (!text.startsWith("^") || !text.endsWith("$")) {
            throw unsupported("a pattern that is not anchored");
        }
        // matches, not find: a $ alone would let a line feed through at the end.
        Predicate<String> matches = Pattern.compile(text).asMatchPredicate();
        return holds("string", wanted(schema), value -> matches.test(value.textValue()));
    }

    private static Check not(JsonNode schema) {
        JsonNode word = schema.get("not").path("const");
        if (!word.isTextual() || schema.get("not").size() != 1) {
            throw unsupported("a not that is no const");
        }
        return holds("string", wanted(schema), value -> !value.textValue().equals(word.textValue()));
    }

    private static Check required(JsonNode schema) {
        List<String> names = list(schema.get("required")).stream().map(JsonNode::textValue).toList();
        return (value, path) -> names.stream().filter(name -> value.isObject() && !value.has(name)).findFirst()
                .map(name -> new Refusal(join(path, name), "stated")).orElse(null);
    }

    private static Check dependent(JsonNode schema) {
        Map<String, List<JsonNode>> needs = new TreeMap<>();
        schema.get("dependentRequired").properties().forEach(need -> needs.put(need.getKey(), list(need.getValue())));
        List<Check> checks = new ArrayList<>();
        needs.forEach((given, names) -> names.stream().map(JsonNode::textValue).forEach(name -> checks.add(
                (value, path) -> value.has(given) && !value.has(name)
                        ? new Refusal(join(path, name), "stated together with " + given) : null)));
        return Check.every(checks);
    }
}
