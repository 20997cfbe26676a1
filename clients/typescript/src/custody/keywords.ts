/**
 * The keywords of JSON Schema that look at one value and at no other schema. Each makes a check of its schema.
 *
 * As in JSON Schema, a keyword lets values of a type that it does not speak of through: `type` refuses those.
 */

/** A value does not fit: the field, with dots between parts, and what would fit. */
export interface Refusal {
  field: string;
  wanted: string;
}
/** Says of a value at a path why it does not fit; nothing where it does. */
export type Check = (value: unknown, path: string) => Refusal | undefined;
export type JsonObject = Record<string, unknown>;
/** As much of a schema as is known here. */
export interface Schema {
  readonly $ref?: string;
  readonly $defs?: Readonly<Record<string, Schema>>;
  readonly description?: string;
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly pattern?: string;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: boolean;
  readonly required?: readonly string[];
  readonly dependentRequired?: Readonly<Record<string, readonly string[]>>;
  readonly not?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
  readonly if?: Schema;
  readonly then?: Schema;
}

export function isObject(value: unknown): value is JsonObject {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

export function join(path: string, name: string): string {
  return path === "" ? name : `${path}.${name}`;
}

/** An unknown field, by its name where that looks like a field's: it may be any text. */
export function unknownField(path: string, name: string): Refusal {
  if (/^[a-z_]{1,64}$/.test(name)) return { field: join(path, name), wanted: "absent" };
  return { field: path === "" ? "leaf" : path, wanted: "free of unknown fields" };
}

const TYPES: Readonly<Record<string, readonly [(value: unknown) => boolean, string]>> = {
  object: [isObject, "an object"],
  array: [Array.isArray, "a list"],
  string: [(value) => typeof value === "string", "a string"],
  // JSON writes -0 as 0, so it would have two forms.
  integer: [(value) => Number.isInteger(value) && !Object.is(value, -0), "an integer"],
  boolean: [(value) => typeof value === "boolean", "true or false"],
};

/** What the schema says of itself, to follow "must be". */
function wanted({ description = "" }: Schema): string {
  return description.charAt(0).toLowerCase() + description.slice(1).replace(/\.$/, "");
}

function type(schema: Schema): Check {
  const [is, wanted] = TYPES[schema.type ?? ""] ?? unsupported("a type that is not known");
  return (value, path) => (is(value) ? undefined : { field: path, wanted });
}

function words(list: readonly unknown[]): Check {
  if (!list.every((word) => typeof word === "string")) unsupported("an enum or const that is no string");
  const wanted = list.length < 8 ? list.join(" or ") : "one of the words that the schema lists";
  return (value, path) => (list.includes(value as string) ? undefined : { field: path, wanted });
}

function pattern(schema: Schema): Check {
  const text = schema.pattern ?? "";
  if (!text.startsWith("^") || !text.endsWith("$")) unsupported("a pattern that is not anchored");
  const expression = new RegExp(text, "u");
  return holds(wanted(schema), (value: string) => expression.test(value), "string");
}

function required({ required = [] }: Schema): Check {
  return (value, path) => {
    const missing = isObject(value) ? required.find((name) => !Object.hasOwn(value, name)) : undefined;
    return missing === undefined ? undefined : { field: join(path, missing), wanted: "stated" };
  };
}

function dependent({ dependentRequired = {} }: Schema): Check {
  const needs = Object.entries(dependentRequired).sort(byName);
  return (value, path) => {
    if (!isObject(value)) return undefined;
    for (const [given, names] of needs) {
      const missing = Object.hasOwn(value, given) ? names.find((name) => !Object.hasOwn(value, name)) : undefined;
      if (missing !== undefined) return { field: join(path, missing), wanted: `stated together with ${given}` };
    }
    return undefined;
  };
}

function not(schema: Schema): Check {
  const { const: word, ...others } = schema.not ?? {};
  if (typeof word !== "string" || Object.keys(others).length > 0) unsupported("a `not` that is no const");
  return holds(wanted(schema), (value: string) => value !== word, "string");
}

function holds<T>(wanted: string, fits: (value: T) => boolean, of: string): Check {
  const [is] = TYPES[of] ?? unsupported(of);
  return (value, path) => (!is(value) || fits(value as T) ? undefined : { field: path, wanted });
}

function bound<T>(
  words: string,
  of: string,
  limit: number | undefined,
  fits: (value: T, limit: number) => boolean,
): Check {
  if (limit === undefined) unsupported("a bound that is no number");
  return holds(words.replace("#", `${limit}`), (value: T) => fits(value, limit), of);
}

/** The order of the names' bytes, which are ASCII. */
export function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}

export function unsupported(what: string): never {
  throw new Error(`docs/audit-log-schema.json: ${what}`);
}

/** In the order in which they are looked at, which is the same in every client. */
export const keywords: ReadonlyMap<string, (schema: Schema) => Check> = new Map([
  ["type", type],
  ["const", (schema: Schema) => words([schema.const])],
  ["enum", (schema: Schema) => words(schema.enum ?? [])],
  ["pattern", pattern],
  ["maxLength", (schema: Schema) => bound("at most # characters", "string", schema.maxLength, longest)],
  ["minimum", (schema: Schema) => bound("at least #", "integer", schema.minimum, atLeast)],
  ["maximum", (schema: Schema) => bound("at most #", "integer", schema.maximum, atMost)],
  ["minItems", (schema: Schema) => bound("a list of at least #", "array", schema.minItems, fewest)],
  ["maxItems", (schema: Schema) => bound("a list of at most #", "array", schema.maxItems, most)],
  ["not", not],
  ["required", required],
  ["dependentRequired", dependent],
]);

const atLeast = (value: number, least: number) => value >= least;
const atMost = (value: number, most: number) => value <= most;
const longest = (value: string, most: number) => [...value].length <= most;
const fewest = (value: unknown[], least: number) => value.length >= least;
const most = (value: unknown[], most: number) => value.length <= most;
