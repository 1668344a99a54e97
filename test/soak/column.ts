type Numbers = Float64Array | Int32Array | Uint8Array

export type Column = { readonly get: (at: number) => number; readonly set: (at: number, value: number) => void }

/** Creates a column of numbers by index, in a typed array that grows. Unset values are 0. */
export function createColumn(make: (length: number) => Numbers): Column {
  let values = make(1_024)
  return {
    get: (at) => values[at] ?? 0,
    set: (at, value) => {
      if (at >= values.length) {
        const larger = make(Math.max(at + 1, values.length * 2))
        larger.set(values)
        values = larger
      }
      values[at] = value
    },
  }
}
