package dev.countersign.custody;

import static dev.countersign.custody.Refusal.join;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.StreamSupport;

/**
 * As much of JSON Schema (draft 2020-12) as docs/audit-log-schema.json uses, compiled to functions.
 *
 * <p>Not a library's, because the schema must mean the same in every client. Libraries leave patterns to the language's
 * own regular expressions, some of which let a line feed through at a {@code $}, and their messages repeat the refused
 * value, which may be a text that must not be logged. A keyword that is not known here is an error, so a schema that
 * grows is never half understood.
 */
final class LeafSchema {
    private static final Set<String> ANNOTATIONS = Set.of("$schema", "$id", "$defs", "title", "description");
    /** Looked at by the keywords that they stand beside. */
    private static final Set<String> BESIDE = Set.of("additionalProperties", "then");

    private final JsonNode defs;
    /** The simple ones, then these, so that every client names the same field. */
    private final Map<String, Function<JsonNode, Check>> keywords = new LinkedHashMap<>(Keywords.ALL);

    private LeafSchema(JsonNode defs) {
        this.defs = defs;
        keywords.put("$ref", this::ref);
        keywords.put("items", this::items);
        keywords.put("properties", this::properties);
        keywords.put("anyOf", schema -> anyOf(all(schema.get("anyOf"))));
        keywords.put("allOf", schema -> Check.every(all(schema.get("allOf"))));
        keywords.put("if", this::conditional);
    }

    static Check compile(JsonNode document) {
        return new LeafSchema(document.get("$defs")).schema(document);
    }

    private Check schema(JsonNode schema) {
        schema.fieldNames().forEachRemaining(keyword -> {
            if (!keywords.containsKey(keyword) && !ANNOTATIONS.contains(keyword) && !BESIDE.contains(keyword)) {
                throw Keywords.unsupported("a keyword that is not known: " + keyword);
            }
        });
        List<Check> checks = new ArrayList<>();
        keywords.forEach((keyword, make) -> {
            if (schema.has(keyword)) {
                checks.add(make.apply(schema));
            }
        });
        return Check.every(checks);
    }

    private List<Check> all(JsonNode schemas) {
        return StreamSupport.stream(schemas.spliterator(), false).map(this::schema).toList();
    }

    private static String named(JsonNode schema) {
        return schema.path("$ref").asText("").replace("#/$defs/", "");
    }

    private Check ref(JsonNode schema) {
        String name = named(schema);
        Check check = schema(defs.get(name));
        return Rules.EACH.containsKey(name) ? Check.every(List.of(check, Rules.EACH.get(name))) : check;
    }

    private Check items(JsonNode schema) {
        Check check = schema(schema.get("items"));
        List<String> keys = Rules.ORDER.get(named(schema.get("items")));
        return (value, path) -> {
            String before = null;
            boolean sorted = true;
            for (JsonNode item : value) {
                Refusal refusal = check.of(item, path);
                if (refusal != null) {
                    return refusal;
                }
                if (keys != null) {
                    String name = nameOf(item, keys);
                    sorted &= before == null || before.compareTo(name) < 0;
                    before = name;
                }
            }
            String by = sorted || keys.isEmpty() ? "" : " by " + String.join(" and ", keys);
            return sorted ? null : new Refusal(path, "sorted" + by + ", each once");
        };
    }

    /** What an item is sorted by. No name holds a line feed, so joined names have the order of the pairs. */
    private static String nameOf(JsonNode item, List<String> keys) {
        return keys.isEmpty() ? item.textValue()
                : keys.stream().map(key -> item.path(key).asText()).collect(Collectors.joining("\n"));
    }

    private Check properties(JsonNode schema) {
        Map<String, Check> checks = new TreeMap<>();
        schema.get("properties").properties().forEach(one -> checks.put(one.getKey(), schema(one.getValue())));
        boolean closed = !schema.path("additionalProperties").asBoolean(true);
        return (value, path) -> {
            TreeSet<String> others = new TreeSet<>();
            value.fieldNames().forEachRemaining(others::add);
            others.removeAll(checks.keySet());
            if (closed && !others.isEmpty()) {
                return Refusal.unknown(path, others.first());
            }
            for (Map.Entry<String, Check> one : checks.entrySet()) {
                JsonNode inner = value.get(one.getKey());
                Refusal refusal = inner == null ? null : one.getValue().of(inner, join(path, one.getKey()));
                if (refusal != null) {
                    return refusal;
                }
            }
            return null;
        };
    }

    private static Check anyOf(List<Check> checks) {
        return (value, path) -> {
            List<String> wanted = new ArrayList<>();
            for (Check check : checks) {
                Refusal refusal = check.of(value, path);
                if (refusal == null) {
                    return null;
                }
                wanted.add(refusal.field() + " is " + refusal.wanted());
            }
            return new Refusal(path, "such that " + String.join(" or ", wanted));
        };
    }

    private Check conditional(JsonNode schema) {
        Check condition = schema(schema.get("if"));
        Check then = schema(schema.get("then"));
        return (value, path) -> condition.of(value, path) == null ? then.of(value, path) : null;
    }
}
