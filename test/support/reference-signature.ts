import { SignatureV4 } from '@smithy/signature-v4'
import { createHash, createHmac, type BinaryLike, type Hash, type Hmac } from 'node:crypto'
import type { SignOptions } from '../../src/relay/targets/sqs/aws-credentials.ts'

/** SHA-256 with the interface that the SDK's signer requires. With a secret, it is an HMAC. */
class Sha256 {
  readonly #hash: Hash | Hmac
  constructor(secret?: unknown) {
    this.#hash = secret === undefined ? createHash('sha256') : createHmac('sha256', secret as BinaryLike)
  }
  update(data: unknown): void {
    this.#hash.update(data as BinaryLike)
  }
  digest(): Promise<Uint8Array> {
    return Promise.resolve(this.#hash.digest())
  }
  reset(): void {
    throw new TypeError('the signer makes a new one for each digest')
  }
}

/** Returns the headers of a request that the SDK's own signer has signed. */
export async function signByReference(options: SignOptions): Promise<Record<string, string>> {
  const { credentials, region, service, path, headers, body, timeMs } = options
  const { sessionToken, ...key } = credentials
  const signer = new SignatureV4({
    credentials: sessionToken === undefined ? key : { ...key, sessionToken },
    region,
    service,
    sha256: Sha256,
    applyChecksum: false,
  })
  const hostname = headers['host'] ?? ''
  const request = { method: 'POST', protocol: 'https:', hostname, path, query: {}, headers: { ...headers }, body }
  return (await signer.sign(request, { signingDate: new Date(timeMs) })).headers
}
