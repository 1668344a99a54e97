import type { Plugin } from 'esbuild'
import { readFile } from 'node:fs/promises'
import { brotliCompressSync, constants } from 'node:zlib'
import { createApi } from '../../src/api/index.ts'
import type { Reads } from '../../src/store/index.ts'
import { DeployError } from '../errors.ts'

/** The OpenAPI document of the read API, as it answers it. */
export async function readOpenApiDocument(): Promise<string> {
  const token = 'of-the-build-and-of-nobody-else-at-all'
  const app = createApi({ read: {} as Reads, token })
  const response = await app.request('/openapi.json', { headers: { authorization: `Bearer ${token}` } })
  if (!response.ok)
    throw new DeployError('deploy.openapi.failed', `the read API answers ${response.status} to GET /openapi.json`)
  return response.text()
}

/**
 * The document does not change while the API runs: in a bundle it is there ready-made, and what makes it out of schemas is not. The
 * checks of parameters stay as they are.
 */
export function openApiDocument(document: string): Plugin {
  const packed = brotliCompressSync(document, {
    params: { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY },
  }).toString('base64')
  return {
    name: 'openapi-document',
    setup(build) {
      build.onResolve({ filter: /^hono-openapi$/ }, ({ resolveDir }) => ({
        path: 'hono-openapi',
        namespace: 'openapi-document',
        sideEffects: false,
        pluginData: { resolveDir },
      }))
      build.onLoad({ filter: /.*/, namespace: 'openapi-document' }, ({ pluginData }) => ({
        contents: SHIM.replace('PACKED', packed),
        resolveDir: (pluginData as { resolveDir: string }).resolveDir,
        loader: 'js',
      }))
      // The schemas of answers are for the document only.
      build.onLoad({ filter: /\/src\/api\/schemas\/[^/]+\.ts$/ }, async ({ path }) => {
        const names = [...(await readFile(path, 'utf8')).matchAll(/^export const (\w+)/gm)].map(([, name]) => name)
        return { contents: names.map((name) => `export const ${name} = undefined`).join('\n'), loader: 'js' }
      })
    },
  }
}

const SHIM = `
import { brotliDecompressSync } from 'node:zlib'
export { sValidator as validator } from '@hono/standard-validator'
const pass = async (_c, next) => { await next() }
export const describeRoute = () => pass
export const resolver = () => undefined
const packed = 'PACKED'
export const openAPIRouteHandler = () => (c) => c.body(brotliDecompressSync(Buffer.from(packed, 'base64')).toString(), 200, { 'content-type': 'application/json' })
`
