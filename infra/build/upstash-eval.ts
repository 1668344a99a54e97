import type { Plugin } from 'esbuild'
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { DeployError } from '../errors.ts'

/**
 * Of `@upstash/redis` the store uses two commands. Its class `Redis` names two hundred, which no bundler can leave out; its own HTTP
 * client under it does all the work. In a bundle, `Redis` is that client with those, and asks by Node's own HTTP client: `fetch` takes
 * longer to load than the bundle.
 *
 * @throws at the build when the package is laid out in another way than this knows
 */
export function upstashEval(): Plugin {
  const entry = createRequire(import.meta.url)
    .resolve('@upstash/redis')
    .replace(/\.js$/, '.mjs')
  const chunk = /import \{[^}]*\bHttpClient\b[^}]*\berror_exports\b[^}]*\} from "(\.\/[^"]+)"/.exec(
    readFileSync(entry, 'utf8'),
  )?.[1]
  if (chunk === undefined)
    throw new DeployError(
      'deploy.bundle.unknown_layout',
      'this version of @upstash/redis has an unknown file layout: adapt infra/build/upstash-eval.ts, or remove the plugin',
    )
  return {
    name: 'upstash-eval',
    setup(build) {
      // By its name and not by its file, which is in another folder on another machine: source maps have it.
      build.onResolve({ filter: /^@upstash\/redis$/ }, ({ path }) => ({
        path,
        namespace: 'upstash-eval',
        sideEffects: false,
      }))
      build.onLoad({ filter: /.*/, namespace: 'upstash-eval' }, () => ({
        contents: CLIENT.replace('CHUNK', chunk),
        resolveDir: dirname(entry),
        loader: 'js',
      }))
      build.onLoad({ filter: /\/@upstash\/redis\/chunk-[^/]+\.mjs$/ }, async ({ path }) => ({
        contents: (await readFile(path, 'utf8')) + IMPORT_FETCH,
        loader: 'js',
      }))
    },
  }
}

// At the end: the lines of the package stay where its source map has them.
const IMPORT_FETCH = `\nimport { postLikeFetch as fetch } from ${JSON.stringify(fileURLToPath(new URL('light/post-like-fetch.ts', import.meta.url)))}\n`

// What `Redis` of the package does for these commands, with the options that the store sets.
const CLIENT = `
import { HttpClient, error_exports } from 'CHUNK'
export class Redis {
  #http
  constructor({ url, token, retry, signal }) {
    this.#http = new HttpClient({ baseUrl: url, retry, headers: { authorization: 'Bearer ' + token }, cache: 'no-store', signal })
  }
  eval(script, keys, args) { return this.#run(['eval', script, keys.length, ...keys, ...args]) }
  evalsha(digest, keys, args) { return this.#run(['evalsha', digest, keys.length, ...keys, ...args]) }
  async #run(body) {
    const { result, error } = await this.#http.request({ body })
    if (error) throw new error_exports.UpstashError(error)
    if (result === undefined) throw new TypeError('Request did not return a result')
    return result
  }
}
`
