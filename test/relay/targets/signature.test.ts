import { hash } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { sign } from '../../../src/relay/targets/sqs/aws-credentials.ts'
import { signByReference } from '../../support/reference-signature.ts'

const TOKEN =
  'AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/' +
  'qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7' +
  'ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=='

/** A form, as the vectors have it. */
const form = (contentType: string) => ({
  body: 'Param1=value1',
  headers: {
    'content-type': contentType,
    'content-length': '13',
    'x-amz-content-sha256': hash('sha256', 'Param1=value1'),
  },
})

type Vector = {
  readonly signature: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly sessionToken?: string
}

/**
 * The test vectors that AWS published for implementations of the signature: those for POST without a query.
 * Source: https://github.com/awslabs/aws-c-auth/tree/main/tests/aws-signing-test-suite/v4
 */
const VECTORS: Readonly<Record<string, Vector>> = {
  'post-vanilla': { signature: '5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b' },
  'post-header-key-sort': {
    headers: { 'my-header1': 'value1' },
    signature: 'c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c',
  },
  'post-header-value-case': {
    headers: { 'my-header1': 'VALUE1' },
    signature: 'cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d',
  },
  'post-sts-header-before': {
    sessionToken: TOKEN,
    signature: '85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead',
  },
  'post-x-www-form-urlencoded': {
    ...form('application/x-www-form-urlencoded'),
    signature: 'd3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b',
  },
  'post-x-www-form-urlencoded-parameters': {
    ...form('application/x-www-form-urlencoded; charset=utf-8'),
    signature: '328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422',
  },
}

test.each(Object.entries(VECTORS))(
  'the vector %s of AWS gets the signature that AWS published',
  (_name, { headers, body = '', sessionToken, signature }) => {
    const signed = sign({
      credentials: {
        accessKeyId: 'AKIDEXAMPLE',
        secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
        sessionToken,
      },
      region: 'us-east-1',
      service: 'service',
      path: '/',
      headers: { host: 'example.amazonaws.com', ...headers },
      body: Buffer.from(body),
      timeMs: Date.UTC(2015, 7, 30, 12, 36),
    })
    expect(signed['x-amz-date']).toBe('20150830T123600Z')
    expect(signed['authorization']).toMatch(
      /^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE\/20150830\/us-east-1\/service\/aws4_request, SignedHeaders=[a-z0-9;-]+, Signature=/,
    )
    expect(signed['authorization']?.split('Signature=')[1]).toBe(signature)
  },
)

const DAY_MS = 86_400_000
const word = fc.stringMatching(/^[A-Za-z0-9+/=]{1,60}$/)
/** A path as a URL encodes it: the client sends the path of a URL. */
const path = fc
  .array(
    fc.oneof(
      fc.constantFrom('', '.', '..', 'a b', "it's", '(x)', '!*', '%2F', '%', '~-_.', 'ü', '😀', '&=+,:;@$'),
      fc.string(),
    ),
    { maxLength: 4 },
  )
  .map((parts) => new URL(`https://host/${parts.map((part) => part.replace(/[?#\\/]/g, '')).join('/')}`).pathname)
const headers = fc
  .dictionary(fc.stringMatching(/^(x-amz|my)-[a-z0-9-]{1,12}$/), fc.stringMatching(/^[ -~]{0,30}$/), { maxKeys: 5 })
  .map((own) => ({ host: 'sqs.test:4566', 'content-type': ' application/x-amz-json-1.0  ;  a ', ...own }))

test("any request is signed as the SDK's own signer signs it: paths that need encoding, spaces, session tokens, other days and regions", async () => {
  const times = fc.tuple(fc.constantFrom(0, 1, 2), fc.integer({ min: 0, max: DAY_MS - 1 }))
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        // Few different values, so that the key of the previous signature can be used again now and then.
        secretAccessKey: fc.oneof(fc.constantFrom('one', 'two'), word),
        accessKeyId: word,
        sessionToken: fc.option(fc.oneof(word, fc.constant('')), { nil: undefined }),
        region: fc.constantFrom('eu-west-1', 'cn-north-1', 'us-gov-west-1'),
        service: fc.constantFrom('sqs', 'service'),
        timeMs: times.map(([day, ms]) => Date.UTC(2026, 1, 28) + day * DAY_MS + ms),
        path,
        headers,
        body: fc.uint8Array(),
      }),
      async ({ secretAccessKey, accessKeyId, sessionToken, ...request }) => {
        const options = { ...request, credentials: { accessKeyId, secretAccessKey, sessionToken } }
        expect(sign(options)).toEqual(await signByReference(options))
      },
    ),
    { numRuns: 500 },
  )
})
