import { AwsV4Signer } from 'aws4fetch'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { signPost } from '../../src/lambda/parameter-store.ts'

test('a request is signed as another implementation signs it', async () => {
  const word = fc.stringMatching(/^[A-Za-z0-9+/=]{1,40}$/)
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        url: fc.constantFrom(
          'https://ssm.eu-west-1.amazonaws.com/',
          'http://127.0.0.1:4566/',
          'https://vpce-1.ssm.eu-west-1.vpce.amazonaws.com/a/(b)/c d',
        ),
        body: fc.string(),
        target: fc.constantFrom('AmazonSSM.GetParameters', 'A  spaced   one'),
        accessKeyId: word,
        secretAccessKey: word,
        sessionToken: fc.option(word, { nil: undefined }),
        nowMs: fc.integer({ min: 0, max: 4e12 }),
      }),
      async ({ url, body, target, accessKeyId, secretAccessKey, sessionToken, nowMs }) => {
        const headers = { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': target }
        const common = { headers, body, service: 'ssm', region: 'eu-west-1' }
        const datetime = new Date(nowMs).toISOString().replace(/[:-]|\.\d{3}/g, '')
        const other = new AwsV4Signer({
          ...common,
          method: 'POST',
          url,
          accessKeyId,
          secretAccessKey,
          ...(sessionToken === undefined ? {} : { sessionToken }),
          datetime,
          allHeaders: true,
          singleEncode: false,
        })
        const expected = Object.fromEntries((await other.sign()).headers)
        expect(
          signPost({
            ...common,
            url: new URL(url),
            credentials: { accessKeyId, secretAccessKey, sessionToken },
            nowMs,
          }),
        ).toEqual(expected)
      },
    ),
    { numRuns: 200 },
  )
})
