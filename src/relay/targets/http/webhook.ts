import { createHmac } from 'node:crypto'

/** Shorter secrets can be guessed. Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md, "Signature scheme" */
const LEAST_BYTES = 24

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** The keys in `whsec_<base64>`, or in several, separated by commas; undefined when one is no such secret. */
export function decodeSecrets(text: string): readonly Buffer[] | undefined {
  const keys = text.split(',').map((part) => {
    const base64 = /^whsec_(\S+)$/.exec(part.trim())?.[1] ?? ''
    return BASE64.test(base64) ? Buffer.from(base64, 'base64') : Buffer.alloc(0)
  })
  return keys.some((key) => key.length < LEAST_BYTES) ? undefined : keys
}

/** What is signed: the id that a repeated message keeps, when it is sent (ms), and its raw bytes. */
export type Signed = { readonly id: string; readonly timeMs: number; readonly body: Uint8Array }

/** The headers of Standard Webhooks, with a signature for each key: while a secret is replaced, the server may know either. */
export function signWebhook(keys: readonly Buffer[], { id, timeMs, body }: Signed): Record<string, string> {
  const timestamp = String(Math.floor(timeMs / 1000))
  const signatures = keys.map(
    (key) => `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest('base64')}`,
  )
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures.join(' ') }
}
