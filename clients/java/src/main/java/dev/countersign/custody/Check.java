package dev.countersign.custody;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.List;

/** Says of a value at a path why it does not fit. */
@FunctionalInterface
interface Check {
    /** Null where the value fits. */
    Refusal of(JsonNode value, String path);

    /** The first refusal of several checks. */
    static Check every(List<Check> checks) {
        return (value, path) -> {
            for (Check check : checks) {
                Refusal refusal = check.of(value, path);
                if (refusal != null) {
                    return refusal;
                }
            }
            return null;
        };
    }
}
