import { build } from 'esbuild'
import { BUNDLE, formatLua, replace, root } from './bundle.ts'

/**
 * One ES module for a runtime at the edge, out of the clone's sources: no files beside it, and nothing that only Node has. The bundlers of platforms make the
 * same of the package.
 *
 * @param entry a file that exports the handlers as its default, such as `examples/cloudflare/worker.ts`; or the text of such a file in the clone's folder
 * @throws the bundler's error: also when something imports what is built into Node
 */
export async function bundleEdge(entry: string | { readonly contents: string }): Promise<string> {
  const { outputFiles } = await build({
    ...BUNDLE,
    absWorkingDir: root,
    ...(typeof entry === 'string'
      ? { entryPoints: [entry] }
      : { stdin: { contents: entry.contents, resolveDir: root, sourcefile: 'worker.ts', loader: 'ts' as const } }),
    platform: 'neutral',
    target: 'es2024',
    // As wrangler has them, and the sources.
    conditions: [...BUNDLE.conditions, 'workerd', 'worker', 'browser'],
    mainFields: ['browser', 'module', 'main'],
    sourcemap: false,
    metafile: false,
    plugins: [inlinePlainLua],
    write: false,
  })
  return (outputFiles[0] as (typeof outputFiles)[number]).text
}

/** Not packed as for Lambda: that is unpacked with what is built into Node. */
const inlinePlainLua = replace('inline-plain-lua', /\/src\/store\/lua\.ts$/, formatLua)
