import { build, type Metafile } from 'esbuild'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { basename, extname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { brotliCompress, constants, gzip } from 'node:zlib'
import type { ConsoleEncoding, ConsoleTable } from '../../src/api/index.ts'
import { DeployError } from '../deploy-error.ts'
import { BUNDLE, formatColumns, root, toKilobytes } from './bundle.ts'

/** The folder of the console's files in the package. */
export const CONSOLE_FOLDER = 'dist/console'

/** The limit (bytes, gzipped) on the files that a browser loads before it shows the page. Files that are loaded on demand, such as charts, do not count. */
export const MAX_FIRST_BYTES = 100_000

const INDEX = 'index.html'

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
}

export type ConsoleBundle = {
  readonly table: ConsoleTable
  /** Content by name: the files of the table, `NAME.br` and `NAME.gz` beside them, and the table itself as `files.json`. */
  readonly files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>
  /** The sizes of the files of the table. */
  readonly sizes: readonly ConsoleSize[]
}

type ConsoleSize = {
  readonly name: string
  readonly bytes: number
  readonly gzippedBytes: number
  /** Whether the browser loads the file before it shows the page. */
  readonly isFirst: boolean
}

export type ConsoleBundleOptions = {
  /** The folder with main.tsx, index.html and console.css. Default: `src/console`. */
  readonly source?: string
  /** Whether to compress and measure the files, which takes most of the time. Default: true. */
  readonly isForDelivery?: boolean
  /** The limit on the first load, in bytes, gzipped. Default 100,000. */
  readonly maxFirstBytes?: number
}

/**
 * Bundles the console for browsers: scripts and styles with a hash of their content in their names, and a page that refers to them. The
 * same sources give the same bytes.
 *
 * @throws the bundler's error, or DeployError
 */
export async function bundleConsole({
  source = join(root, 'src/console'),
  isForDelivery = true,
  maxFirstBytes = MAX_FIRST_BYTES,
}: ConsoleBundleOptions = {}): Promise<ConsoleBundle> {
  const { metafile, outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: [join(source, 'main.tsx')],
    outdir: CONSOLE_FOLDER,
    entryNames: '[name]-[hash]',
    chunkNames: '[name]-[hash]',
    bundle: true,
    splitting: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    conditions: [...BUNDLE.conditions],
    jsx: 'automatic',
    jsxImportSource: 'preact',
    legalComments: 'none',
    metafile: true,
    write: false,
    logLevel: 'warning',
  })
  const first = firstLoad(metafile, join(source, 'main.tsx'))
  const page = toPage(await readFile(join(source, INDEX), 'utf8'), first)
  const contents = new Map<string, Uint8Array<ArrayBuffer>>([
    [INDEX, new TextEncoder().encode(page)],
    ...outputFiles.map((file) => [basename(file.path), file.contents] as [string, Uint8Array<ArrayBuffer>]),
  ])
  const names = [...contents.keys()].toSorted()
  const unknown = names.find((name) => TYPES[extname(name)] === undefined)
  if (unknown !== undefined)
    throw new DeployError('deploy.console.invalid', `the console has no media type for ${unknown}: add it to TYPES`)

  const files = new Map<string, Uint8Array<ArrayBuffer>>()
  const table: Record<string, ConsoleTable[string]> = {}
  const sizes: ConsoleSize[] = []
  for (const name of names) {
    const plain = contents.get(name) as Uint8Array<ArrayBuffer>
    const packed = isForDelivery ? await compress(plain) : []
    files.set(name, plain)
    for (const { ending, bytes } of packed) files.set(name + ending, bytes)
    table[name] = { type: TYPES[extname(name)] as string, encodings: packed.map(({ encoding }) => encoding) }
    const gzippedBytes = packed.find(({ encoding }) => encoding === 'gzip')?.bytes.length ?? plain.length
    sizes.push({ name, bytes: plain.length, gzippedBytes, isFirst: name === INDEX || first.all.includes(name) })
  }
  files.set('files.json', new TextEncoder().encode(JSON.stringify(table)))
  const bundle = { table, files, sizes }
  if (isForDelivery) checkSize(bundle, maxFirstBytes)
  return bundle
}

type FirstLoad = { readonly script: string; readonly style: string | undefined; readonly all: readonly string[] }

/** Returns the files that the page needs at once: its script, the static imports of that script, and the styles. */
function firstLoad({ outputs }: Metafile, main: string): FirstLoad {
  const isMain = (file: string | undefined) => file !== undefined && resolve(root, file) === main
  const [entry] = Object.entries(outputs).find(([, { entryPoint }]) => isMain(entryPoint)) ?? []
  const { cssBundle } = outputs[entry ?? ''] ?? {}
  const stray = Object.keys(outputs).find((file) => file.endsWith('.css') && file !== cssBundle)
  if (entry === undefined || stray !== undefined)
    throw new DeployError(
      'deploy.console.invalid',
      `no browser would load ${stray ?? 'the console'}: import styles in main.tsx, or in the styles that it imports`,
    )
  const scripts = new Set([entry])
  for (const file of scripts)
    for (const { path, kind } of outputs[file]?.imports ?? []) if (kind === 'import-statement') scripts.add(path)
  const style = cssBundle === undefined ? undefined : basename(cssBundle)
  const all = [...scripts, ...(cssBundle === undefined ? [] : [cssBundle])].map((file) => basename(file))
  return { script: basename(entry), style, all }
}

/** Puts the built names into the page. Preloads make the browser request the imports of the script at once, not after it has arrived. */
function toPage(page: string, { script, style, all }: FirstLoad): string {
  const preloads = all
    .filter((name) => name.endsWith('.js') && name !== script)
    .map((name) => `<link rel="modulepreload" href="${name}" />`)
  const names = [
    ['src="main.tsx"', `src="${script}"`],
    ['href="console.css"', `href="${style}"`],
    ['</head>', `${preloads.join('')}</head>`],
  ] as const
  const missing = names.find(([written]) => !page.includes(written))
  if (missing !== undefined || style === undefined)
    throw new DeployError(
      'deploy.console.invalid',
      `the console's ${INDEX} must have ${missing?.[0] ?? 'styles'}: the build puts the names of the files there`,
    )
  return names.reduce((text, [written, name]) => text.replace(written, name), page)
}

const ENDINGS = { br: '.br', gzip: '.gz' } as const satisfies Record<ConsoleEncoding, string>

/** Compresses a file in each encoding that makes it smaller. */
async function compress(plain: Uint8Array) {
  const params = { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY }
  const [br, gz] = await Promise.all([
    promisify(brotliCompress)(plain, { params }),
    promisify(gzip)(plain, { level: constants.Z_BEST_COMPRESSION }),
  ])
  const packed = [
    { encoding: 'br', ending: ENDINGS.br, bytes: new Uint8Array(br) },
    { encoding: 'gzip', ending: ENDINGS.gzip, bytes: new Uint8Array(gz) },
  ] as const
  return packed.filter(({ bytes }) => bytes.length < plain.length)
}

const firstBytes = ({ sizes }: ConsoleBundle): number =>
  sizes.reduce((sum, { isFirst, gzippedBytes }) => sum + (isFirst ? gzippedBytes : 0), 0)

function checkSize(bundle: ConsoleBundle, maxBytes: number): void {
  const bytes = firstBytes(bundle)
  if (bytes > maxBytes)
    throw new DeployError(
      'deploy.console.too_large',
      `the first load of the console has ${bytes} bytes gzipped, more than the limit of ${maxBytes}. Import less, or import it when it is shown:\n${formatConsoleReport(bundle)}`,
    )
}

/** Formats a line for each file: its size and its size gzipped, in kB (1,000 bytes), and whether the page waits for it. */
export function formatConsoleReport(bundle: ConsoleBundle): string {
  const rows = bundle.sizes.map(({ name, bytes, gzippedBytes, isFirst }) => [
    name,
    toKilobytes(bytes),
    toKilobytes(gzippedBytes),
    isFirst ? 'first load' : 'when it is needed',
  ])
  const sum = ['together', '', toKilobytes(firstBytes(bundle)), `first load, at most ${toKilobytes(MAX_FIRST_BYTES)}`]
  return formatColumns([['console', 'kB', 'gzipped', 'loaded'], ...rows, sum])
}

/** Writes the files into a folder that contains nothing else. */
export async function writeConsole({ files }: ConsoleBundle, folder = join(root, CONSOLE_FOLDER)): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (const [name, bytes] of files) await writeFile(join(folder, name), bytes)
}
