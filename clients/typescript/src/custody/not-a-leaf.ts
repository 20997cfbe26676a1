/** The bytes are no leaf, or the event is no export of one. The message never repeats the refused value. */
export class NotALeaf extends Error {
  override readonly name = "NotALeaf";

  constructor(
    /** Where, with dots between parts: `charges.amount`. `leaf`: the leaf as a whole. */
    readonly field: string,
    /** What would fit there. */
    readonly wanted: string,
  ) {
    super(`${field} must be ${wanted}`);
  }
}
