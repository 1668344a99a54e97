import { firstNumberOf, type Position } from './backup-folder.ts'

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
