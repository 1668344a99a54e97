import { build, type Metafile, type OutputFile } from 'esbuild'
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ROUTES, type Route } from '../../src/protocol/index.ts'
import { openApiDocument, readOpenApiDocument } from './openapi-document.ts'
import { upstashEval } from './upstash-eval.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** The source of a route's function: `functions/campaigns/cdr.ts`. */
export const sourceOf = (route: Route): string => `functions/${route.type === '*' ? route.name : `${route.type}/${route.subType}`}.ts`

/** Where bundles are put: `dist/functions/campaigns-cdr/index.mjs`, its source map beside it. */
export const FUNCTIONS_FOLDER = 'dist/functions'

/** A larger bundle takes too long to load. Bytes. */
export const MOST_BYTES = 150_000

/**
 * One minified ES module per function. The AWS SDK comes with Lambda's runtime. The same sources make the same bytes.
 *
 * @throws the bundler's error, or one that names the bundles that are too large
 */
export async function bundleFunctions(): Promise<Metafile> {
  const entryPoints = Object.fromEntries([...ROUTES.map((route) => [`${route.name}/index`, sourceOf(route)]), ['api/index', 'functions/api.ts']]) as Record<string, string>
  const { metafile, outputFiles } = await build({
    absWorkingDir: root,
    entryPoints,
    outdir: FUNCTIONS_FOLDER,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    conditions: ['source'],
    external: ['@aws-sdk/*'],
    // The stack in a log names files and lines of the sources. Their text is not needed for that.
    sourcemap: 'linked',
    sourcesContent: false,
    legalComments: 'none',
    metafile: true,
    write: false,
    logLevel: 'warning',
    plugins: [upstashEval(), openApiDocument(await readOpenApiDocument())],
  })
  const large = Object.entries(metafile.outputs).filter(([file, { bytes }]) => file.endsWith('.mjs') && bytes > MOST_BYTES)
  if (large.length > 0) {
    throw new Error(`over ${MOST_BYTES} bytes: ${large.map(([file, { bytes }]) => `${file} has ${bytes}`).join(', ')}. What each is made of is in the report above; import less, or when it is needed`)
  }
  await writeBundles(outputFiles)
  return metafile
}

/** Writes what has changed, each file in one step: somebody may be packaging, or running, what is there. Others are removed. */
async function writeBundles(files: readonly OutputFile[]): Promise<void> {
  const folder = join(root, FUNCTIONS_FOLDER)
  const wanted = new Set(files.map(({ path }) => dirname(path)))
  for (const name of await readdir(folder).catch((): string[] => [])) if (!wanted.has(join(folder, name))) await rm(join(folder, name), { recursive: true, force: true })
  for (const { path, contents } of files) {
    const former = await readFile(path).catch(() => undefined)
    if (former !== undefined && Buffer.compare(former, contents) === 0) continue
    await mkdir(dirname(path), { recursive: true })
    const temporary = `${path}.${process.pid}`
    await writeFile(temporary, contents)
    await rename(temporary, path)
  }
}
