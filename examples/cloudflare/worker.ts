import { consoleFrom, createEdge } from 'enigma-relay/edge'
import { functions } from '../../functions/all.ts'

/** The static assets of a Worker. Source: https://developers.cloudflare.com/workers/static-assets/binding/ */
type Assets = { readonly fetch: (url: string) => Promise<Response> }

/** Serves functions, API and console as a Cloudflare Worker. wrangler.jsonc configures it; docs/cloudflare.md explains how to deploy it. */
const worker = createEdge({
  functions,
  console: ({ ASSETS }) =>
    consoleFrom(async (name) => {
      const file = await (ASSETS as Assets).fetch(`https://assets/${name}`)
      return file.ok ? new Uint8Array(await file.arrayBuffer()) : undefined
    }),
})

export { worker as default }
