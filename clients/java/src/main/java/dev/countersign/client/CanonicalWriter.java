package dev.countersign.client;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.erdtman.jcs.NumberToJSON;

/** Writes RFC 8785, and refuses what is not JSON. */
final class CanonicalWriter {
    /** Deepest nesting: an object that holds only scalars has depth 1. */
    private static final int MAX_DEPTH = 64;
    /** The largest integer, in either direction, that every JSON parser reads as itself. */
    private static final double MAX_NUMBER = 9_007_199_254_740_991.0;

    private final StringBuilder out = new StringBuilder();

    private CanonicalWriter() {}

    static String write(Object arguments) {
        boolean object = arguments instanceof Map || arguments instanceof JsonNode node && node.isObject();
        if (!object) {
            throw new UnhashableArguments("", "arguments are one JSON object, not " + name(arguments));
        }
        CanonicalWriter writer = new CanonicalWriter();
        writer.value(arguments, "", 1);
        return writer.out.toString();
    }

    private void value(Object value, String path, int depth) {
        if (value instanceof JsonNode node) {
            node(node, path, depth);
        } else if (value == null || value instanceof Boolean) {
            out.append(value);
        } else if (value instanceof String text) {
            string(text, path);
        } else if (value instanceof Number number) {
            number(number, path);
        } else if (value instanceof Map<?, ?> map) {
            object(map.entrySet().iterator(), path, depth);
        } else if (value instanceof List<?> list) {
            array(list.iterator(), path, depth);
        } else {
            throw new UnhashableArguments(path, name(value) + " is not a JSON value; convert it yourself");
        }
    }

    private void node(JsonNode node, String path, int depth) {
        switch (node.getNodeType()) {
            case NULL -> out.append("null");
            case BOOLEAN -> out.append(node.booleanValue());
            case STRING -> string(node.textValue(), path);
            case NUMBER -> {
                if (node.isBigDecimal()) {
                    exact(node.decimalValue(), path);
                } else {
                    number(node.numberValue(), path);
                }
            }
            case OBJECT -> object(node.fields(), path, depth);
            case ARRAY -> array(node.elements(), path, depth);
            default -> throw new UnhashableArguments(path, node.getNodeType() + " is not a JSON value");
        }
    }

    private void object(Iterator<? extends Map.Entry<?, ?>> members, String path, int depth) {
        fits(path, depth);
        // Strings compare by UTF-16 code units, as RFC 8785 sorts.
        TreeMap<String, Object> sorted = new TreeMap<>();
        while (members.hasNext()) {
            Map.Entry<?, ?> member = members.next();
            if (!(member.getKey() instanceof String key)) {
                throw new UnhashableArguments(path, "a key is " + name(member.getKey()) + "; JSON has strings only");
            }
            sorted.put(key, member.getValue());
        }
        String separator = "{";
        for (Map.Entry<String, Object> member : sorted.entrySet()) {
            out.append(separator);
            string(member.getKey(), path);
            out.append(':');
            value(member.getValue(), path.isEmpty() ? member.getKey() : path + "." + member.getKey(), depth + 1);
            separator = ",";
        }
        out.append(sorted.isEmpty() ? "{}" : "}");
    }

    private void array(Iterator<?> items, String path, int depth) {
        fits(path, depth);
        out.append('[');
        for (int nth = 0; items.hasNext(); nth++) {
            if (nth > 0) {
                out.append(',');
            }
            value(items.next(), path + "[" + nth + "]", depth + 1);
        }
        out.append(']');
    }

    private void number(Number number, String path) {
        boolean integer = number instanceof Byte || number instanceof Short || number instanceof Integer
                || number instanceof Long || number instanceof BigInteger;
        if (!integer && !(number instanceof Double) && !(number instanceof Float)) {
            throw new UnhashableArguments(path, name(number) + " is not a JSON number; convert it yourself");
        }
        // Beyond the bound doubles round, and stay beyond it.
        out.append(text(number.doubleValue(), path));
    }

    /** A number as it was written: no digit of it may be lost. */
    private void exact(BigDecimal number, String path) {
        String text = text(number.doubleValue(), path);
        if (new BigDecimal(text).compareTo(number) != 0) {
            throw new UnhashableArguments(path, "it is a number with more digits than a double holds, which other "
                    + "parsers round; send it as a string");
        }
        out.append(text);
    }

    private static String text(double number, String path) {
        if (!Double.isFinite(number)) {
            throw new UnhashableArguments(path, "it is not a finite number");
        }
        if (Math.abs(number) > MAX_NUMBER) {
            throw new UnhashableArguments(path,
                    "it is a number beyond 2^53-1, which other parsers round; send it as a string");
        }
        try {
            return NumberToJSON.serializeNumber(number);
        } catch (IOException error) {
            throw new UnhashableArguments(path, "it is not a JSON number: " + error.getMessage());
        }
    }

    private void string(String text, String path) {
        out.append('"');
        for (int at = 0; at < text.length(); at++) {
            char unit = text.charAt(at);
            if (Character.isHighSurrogate(unit) && at + 1 < text.length()
                    && Character.isLowSurrogate(text.charAt(at + 1))) {
                out.append(unit).append(text.charAt(++at));
            } else if (Character.isSurrogate(unit)) {
                throw new UnhashableArguments(path, "it holds half of a surrogate pair, which is no text");
            } else {
                unit(unit);
            }
        }
        out.append('"');
    }

    private void unit(char unit) {
        switch (unit) {
            case '"', '\\' -> out.append('\\').append(unit);
            case '\b' -> out.append("\\b");
            case '\t' -> out.append("\\t");
            case '\n' -> out.append("\\n");
            case '\f' -> out.append("\\f");
            case '\r' -> out.append("\\r");
            default -> {
                if (unit < ' ') {
                    out.append(String.format("\\u%04x", (int) unit));
                } else {
                    out.append(unit);
                }
            }
        }
    }

    private static void fits(String path, int depth) {
        if (depth > MAX_DEPTH) {
            throw new UnhashableArguments(path, "it is nested deeper than " + MAX_DEPTH + ", or within itself");
        }
    }

    private static String name(Object value) {
        return value == null ? "null" : "a " + value.getClass().getSimpleName();
    }
}
