/**
 * As much of JSON Schema (draft 2020-12) as docs/audit-log-schema.json uses, compiled to functions.
 *
 * Not a library's, because the schema must mean the same in every client. Libraries leave patterns to the language's
 * own regular expressions, some of which let a line feed through at a `$`, and their messages repeat the refused value,
 * which may be a text that must not be logged. A keyword that is not known here is an error, so a schema that grows is
 * never half understood.
 */
import {
  byName,
  type Check,
  join,
  type JsonObject,
  keywords,
  type Refusal,
  type Schema,
  unknownField,
  unsupported,
} from "./keywords.js";

/** Further checks of what fits a definition. */
type Each = Readonly<Record<string, Check>>;
/** What lists of a definition are sorted by; empty: by the items themselves. */
type Order = Readonly<Record<string, readonly string[]>>;

const ANNOTATIONS = ["$schema", "$id", "$defs", "title", "description"];

export function compileSchema(document: unknown, each: Each, order: Order): Check {
  const root = document as Schema;
  const defs = root.$defs ?? {};
  // After the keywords that look at no other schema, in this order, so that every client names the same field.
  const inner: readonly (readonly [string, (schema: Schema) => Check])[] = [
    ["$ref", definition],
    ["items", items],
    ["properties", properties],
    ["anyOf", anyOf],
    ["allOf", ({ allOf = [] }) => every(allOf.map(compile))],
    ["if", conditional],
  ];
  const known = new Set([...ANNOTATIONS, ...[...keywords, ...inner].map(([keyword]) => keyword)]);
  for (const beside of ["additionalProperties", "then"]) known.add(beside);
  return compile(root);

  function compile(schema: Schema): Check {
    const others = Object.keys(schema).filter((keyword) => !known.has(keyword));
    if (others.length > 0) unsupported(`keywords that are not known: ${others.join(" ")}`);
    const checks = [...keywords, ...inner].filter(([keyword]) => Object.hasOwn(schema, keyword));
    return every(checks.map(([, make]) => make(schema)));
  }

  function definition({ $ref = "" }: Schema): Check {
    const name = named($ref);
    const check = compile(defs[name] ?? unsupported(`${$ref} is not there`));
    const further = each[name];
    return further === undefined ? check : every([check, further]);
  }

  function items({ items = {} }: Schema): Check {
    const check = compile(items);
    const keys = order[named(items.$ref ?? "")];
    return (value, path) => {
      const list = value as unknown[];
      const refusal = first(list, (item) => check(item, path));
      return refusal ?? (keys && !isSorted(list, keys) ? { field: path, wanted: sortedBy(keys) } : undefined);
    };
  }

  function properties({ properties = {}, additionalProperties = true }: Schema): Check {
    const entries = Object.entries(properties).sort(byName);
    const checks = new Map(entries.map(([name, schema]) => [name, compile(schema)]));
    return (value, path) => {
      const object = value as JsonObject;
      const others = additionalProperties ? [] : Object.keys(object).filter((name) => !checks.has(name)).sort();
      if (others[0] !== undefined) return unknownField(path, others[0]);
      return first(checks, ([name, check]) =>
        Object.hasOwn(object, name) ? check(object[name], join(path, name)) : undefined,
      );
    };
  }

  function anyOf({ anyOf = [] }: Schema): Check {
    const checks = anyOf.map(compile);
    return (value, path) => {
      const refusals = checks.map((check) => check(value, path)).filter((refusal) => refusal !== undefined);
      if (refusals.length < checks.length) return undefined;
      const wanted = refusals.map((refusal) => `${refusal.field} is ${refusal.wanted}`).join(" or ");
      return { field: path, wanted: `such that ${wanted}` };
    };
  }

  function conditional({ if: condition = {}, then = {} }: Schema): Check {
    const [holds, follows] = [compile(condition), compile(then)];
    return (value, path) => (holds(value, path) === undefined ? follows(value, path) : undefined);
  }
}

function named(ref: string): string {
  return ref.replace("#/$defs/", "");
}

function first<T>(values: Iterable<T>, check: (value: T) => Refusal | undefined): Refusal | undefined {
  for (const value of values) {
    const refusal = check(value);
    if (refusal !== undefined) return refusal;
  }
  return undefined;
}

function every(checks: readonly Check[]): Check {
  return (value, path) => first(checks, (check) => check(value, path));
}

function isSorted(items: readonly unknown[], keys: readonly string[]): boolean {
  // No name holds a line feed, so joined names have the order of the pairs.
  const name = (item: unknown) =>
    (keys.length === 0 ? item : keys.map((key) => (item as JsonObject)[key]).join("\n")) as string;
  return items.every((item, nth) => nth === 0 || name(items[nth - 1]) < name(item));
}

function sortedBy(keys: readonly string[]): string {
  return `sorted${keys.length === 0 ? "" : ` by ${keys.join(" and ")}`}, each once`;
}
