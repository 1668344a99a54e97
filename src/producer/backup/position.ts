/** A place in the backup files: behind `offset` bytes of `file`. */
export type Position = {
  readonly file: string
  readonly offset: number
  /** The number of the last packet before it. */
  readonly number: number
}

const NAME = /^\d{16}-[0-9a-f]{8}\.jsonl$/

/** A file's name: the number of its first packet, so that names sort in the order of the packets, and the run that made it. */
export const formatFileName = (firstNumber: number, run: string): string =>
  `${String(firstNumber).padStart(16, '0')}-${run}.jsonl`

export const isFileName = (name: string): boolean => NAME.test(name)

export const firstNumberOf = (name: string): number => Number(name.slice(0, 16))

export const formatPosition = ({ file, offset, number }: Position): string => `${file}:${offset}:${number}`

/** The inverse of `formatPosition`; undefined for anything else. */
export function parsePosition(text: string): Position | undefined {
  const [file = '', offset = '', number = '', ...rest] = text.split(':')
  if (!NAME.test(file) || !/^\d+$/.test(offset) || !/^\d+$/.test(number) || rest.length > 0) return undefined
  return { file, offset: Number(offset), number: Number(number) }
}
