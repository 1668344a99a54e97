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

/** A file of the folder; `bytes`: how much of it counts. */
type ListedFile = { readonly name: string; bytes: number }

/** Which files there are, the oldest first, and how far they are pushed. No I/O: it says which files are to be removed. */
export function createFileList(found: readonly ListedFile[], position: Position | undefined, lastNumber: number) {
  // Those before the position were pushed, whether its own file is still there or not.
  const files = found.filter(({ name }) => position === undefined || name >= position.file)
  let offset = 0
  let number = files[0] === undefined ? lastNumber : firstNumberOf(files[0].name) - 1
  const before = found.filter((file) => !files.includes(file)).map(({ name }) => name)

  const shift = (): string => {
    offset = 0
    return files.shift()?.name ?? ''
  }

  /** All before `to` is pushed. Returns the files that are done; not `open`, to which more may be added. */
  const drop = (to: Position | undefined, open?: string): string[] => {
    const done: string[] = []
    // A place in a file that is not there says nothing: it is a file removed before, or one of another folder.
    if (to !== undefined && files.some(({ name }) => name === to.file)) {
      while (files[0]?.name !== to.file) done.push(shift())
      if (to.offset >= offset) [offset, number] = [to.offset, to.number]
    }
    while (files[0] !== undefined && offset >= files[0].bytes && files[0].name !== open) done.push(shift())
    return done
  }
  const done = [...before, ...drop(position)]

  return {
    /** What was pushed before already: to be removed. */
    done,
    drop,
    /** Whether a place is in a file that is there, behind what is known to be pushed. */
    isAhead: (to: Position): boolean => {
      const at = files.findIndex(({ name }) => name === to.file)
      return at > 0 || (at === 0 && to.offset > offset)
    },
    /** Where reading goes on, and in how long a file. */
    first: (): (Position & { readonly bytes: number }) | undefined =>
      files[0] && { file: files[0].name, bytes: files[0].bytes, offset, number },
    add: (name: string): void => void files.push({ name, bytes: 0 }),
    grow: (name: string, bytes: number): void => {
      for (const file of files) if (file.name === name) file.bytes = bytes
    },
  }
}
