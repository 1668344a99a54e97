import { readFile } from 'node:fs/promises'
import type { ConsoleFiles, ConsoleTable } from '../api/index.ts'

/** Of a function's bundle: where it has the files of the console, seen from itself. */
declare const ENIGMA_CONSOLE: string | undefined

/** Beside the API's bundle; in the package, `dist/console`. */
const FOLDER = new URL(typeof ENIGMA_CONSOLE === 'string' ? ENIGMA_CONSOLE : '../console/', import.meta.url)

const ENDINGS = { br: '.br', gzip: '.gz' } as const

/**
 * The console's files in a folder that the build has made, read as they are asked for. @param folder a file URL with a slash at its end
 *
 * @example createApi({ read: store.read, token, console: readConsole() })
 */
export function readConsole(folder: URL = FOLDER): ConsoleFiles {
  let table: Promise<ConsoleTable> | undefined
  const readTable = async (): Promise<ConsoleTable> => {
    try {
      return JSON.parse(await readFile(new URL('files.json', folder), 'utf8')) as ConsoleTable
    } catch (error) {
      // Looked for again at the next request.
      table = undefined
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {}
      throw error
    }
  }
  return {
    table: () => (table ??= readTable()),
    read: (name, encoding) => readFile(new URL(name + (encoding === undefined ? '' : ENDINGS[encoding]), folder)),
  }
}
