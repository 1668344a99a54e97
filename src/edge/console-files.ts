import { getRuntimeKey } from 'hono/adapter'
import type { ConsoleFiles, ConsoleTable } from '../api/index.ts'

/** Reads a file of the folder `dist/console` of this package by its name, such as `files.json`; undefined when it is not there. */
export type ReadFile = (name: string) => Promise<Uint8Array<ArrayBuffer> | undefined>

const ENDINGS = { br: '.br', gzip: '.gz' } as const

/**
 * The console's files, wherever a platform keeps them. They are read as they are asked for. On Cloudflare they go out as they are: its runtime
 * compresses a body by the answer's content-encoding, and would do so with one that is compressed already
 * (https://developers.cloudflare.com/workers/runtime-apis/response/, `encodeBody`).
 *
 * @example consoleFrom((name) => Deno.readFile(new URL(name, folder)))
 */
export function consoleFrom(readFile: ReadFile): ConsoleFiles {
  let table: ConsoleTable | undefined
  const readTable = async (): Promise<ConsoleTable> => {
    const bytes = await readFile('files.json')
    if (bytes === undefined) return {}
    const files = JSON.parse(new TextDecoder().decode(bytes)) as ConsoleTable
    if (getRuntimeKey() !== 'workerd') return files
    return Object.fromEntries(Object.entries(files).map(([name, file]) => [name, { ...file, encodings: [] }]))
  }
  return {
    table: async () => (table ??= await readTable()),
    read: async (name, encoding) =>
      (await readFile(name + (encoding === undefined ? '' : ENDINGS[encoding]))) ?? new Uint8Array(),
  }
}
