import fc from 'fast-check'
import { expect, test } from 'vitest'
import { makeParcels } from '../support/parcels.ts'
import { tell, useClients, type Told } from '../support/sqs-clients.ts'
import { useWireServer, type WireAnswer } from '../support/wire-server.ts'

/*
 * The sender gets the same result from an answer, whether the SDK or our own client reads it. The titles of the exceptions begin with
 * "the SDK does worse".
 */

const answer =
  (status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): WireAnswer =>
  (response) =>
    response
      .writeHead(status, { 'content-type': 'application/x-amz-json-1.0', ...headers })
      .end(typeof body === 'string' ? body : JSON.stringify(body))

/** Writes this to the connection, and ends it. */
const raw =
  (text: string): WireAnswer =>
  (response) =>
    void response.socket?.end(text)

const BOTH_ACCEPTED = '{"Successful":[{"Id":"0"},{"Id":"1"}],"Failed":[]}'

/** The results of both clients for a server that answers a request with two packs in this way. */
async function useJudges() {
  const server = await useWireServer()
  const clients = await useClients(server.endpoint)
  const parcels = await makeParcels(
    ['1', '2'].map((reference) => ({ reference, isGzipped: false, packets: [Buffer.from('{"type":"status"}')] })),
  )
  const judge = async (how: WireAnswer, options?: Parameters<typeof tell>[2]) => {
    server.state.answer = how
    return { sdk: await tell(clients.sdk, parcels, options), own: await tell(clients.own, parcels, options) }
  }
  return { ...clients, server, parcels, judge }
}

type Rejected = Exclude<Told, 'accepted'>
const RETRY: Rejected = {
  verdict: 'retry',
  isForSize: false,
  isAnswer: true,
  isMissing: false,
  problem: 'relay.sqs.unavailable',
}
const CREDENTIALS: Rejected = { ...RETRY, problem: 'relay.sqs.credentials_rejected' }
const DENIED: Rejected = { ...RETRY, problem: 'relay.sqs.access_denied' }
const MISSING: Rejected = { ...RETRY, isMissing: true, problem: 'relay.sqs.queue_missing' }
const REFUSED: Rejected = { ...RETRY, verdict: 'refused' }
const TOO_LARGE: Rejected = { ...REFUSED, isForSize: true }
const FOREIGN: Rejected = { ...RETRY, problem: 'relay.sqs.foreign_answer' }
const SILENT: Rejected = { ...RETRY, isAnswer: false }

const both = (told: Told | readonly Told[]) => ({ sdk: told, own: told })

/**
 * Name in the JSON protocol, status, what follows, name in the query protocol where it is another one.
 * Source: the errors of SendMessageBatch, and "Common Error Types", in the SQS API reference.
 */
const ERRORS: readonly (readonly [string, number, Rejected, string?])[] = [
  ['BatchEntryIdsNotDistinct', 400, RETRY, 'AWS.SimpleQueueService.BatchEntryIdsNotDistinct'],
  ['BatchRequestTooLong', 400, TOO_LARGE, 'AWS.SimpleQueueService.BatchRequestTooLong'],
  ['EmptyBatchRequest', 400, RETRY, 'AWS.SimpleQueueService.EmptyBatchRequest'],
  ['InvalidAddress', 404, RETRY],
  ['InvalidBatchEntryId', 400, REFUSED, 'AWS.SimpleQueueService.InvalidBatchEntryId'],
  ['InvalidMessageContents', 400, REFUSED],
  ['InvalidParameterValue', 400, REFUSED],
  ['InvalidParameterValueException', 400, REFUSED],
  ['InvalidSecurity', 403, RETRY],
  ['KmsAccessDenied', 400, DENIED, 'KMS.AccessDeniedException'],
  ['KmsDisabled', 400, RETRY, 'KMS.DisabledException'],
  ['KmsInvalidKeyUsage', 400, RETRY, 'KMS.InvalidKeyUsageException'],
  ['KmsInvalidState', 400, RETRY, 'KMS.InvalidStateException'],
  ['KmsNotFound', 400, RETRY, 'KMS.NotFoundException'],
  ['KmsOptInRequired', 403, RETRY, 'KMS.OptInRequired'],
  ['KmsThrottled', 400, RETRY, 'KMS.ThrottlingException'],
  ['OverLimit', 403, RETRY],
  ['QueueDeletedRecently', 400, RETRY, 'AWS.SimpleQueueService.QueueDeletedRecently'],
  ['QueueDoesNotExist', 400, MISSING, 'AWS.SimpleQueueService.NonExistentQueue'],
  ['RequestThrottled', 403, RETRY],
  ['TooManyEntriesInBatchRequest', 400, REFUSED, 'AWS.SimpleQueueService.TooManyEntriesInBatchRequest'],
  ['UnsupportedOperation', 400, RETRY, 'AWS.SimpleQueueService.UnsupportedOperation'],
  ['AccessDenied', 403, DENIED],
  ['AccessDeniedException', 400, DENIED],
  ['ExpiredToken', 403, CREDENTIALS],
  ['ExpiredTokenException', 400, CREDENTIALS],
  ['IncompleteSignature', 400, CREDENTIALS],
  ['InternalError', 500, RETRY],
  ['InternalFailure', 500, RETRY],
  ['InvalidAction', 400, RETRY],
  ['InvalidClientTokenId', 403, CREDENTIALS],
  ['InvalidSignatureException', 403, CREDENTIALS],
  ['MalformedHttpRequestException', 400, RETRY],
  ['MissingAuthenticationToken', 403, CREDENTIALS],
  ['NotAuthorized', 400, DENIED],
  ['OptInRequired', 403, RETRY],
  ['RequestExpired', 400, RETRY],
  ['RequestTimeoutException', 408, RETRY],
  ['RequestEntityTooLargeException', 413, TOO_LARGE],
  ['ServiceUnavailable', 503, RETRY],
  ['SignatureDoesNotMatch', 403, CREDENTIALS],
  ['ThrottlingException', 400, RETRY],
  ['UnknownOperationException', 404, RETRY],
  ['UnrecognizedClientException', 400, CREDENTIALS],
  ['ValidationError', 400, REFUSED],
  ['ValidationException', 400, REFUSED],
  // With a 5xx status the server has failed, so the name of a rejection is ignored.
  ['InvalidMessageContents', 500, RETRY],
  ['InvalidMessageContents', 503, RETRY],
  ['SomethingNew', 400, RETRY],
]

const message = 'of the test'
const PLACES: Readonly<Record<string, (name: string, status: number, queryName: string) => WireAnswer>> = {
  __type: (__type, status) => answer(status, { __type, message }),
  '__type with a namespace': (name, status) =>
    answer(status, { __type: `com.amazonaws.sqs#${name}`, Message: message }),
  '__type with an address': (name, status) =>
    answer(status, {
      __type: `com.amazonaws.sqs#${name}:http://internal.amazon.com/coral/com.amazonaws.sqs/`,
      message,
    }),
  'code in the body': (code, status) => answer(status, { code, message }),
  'x-amzn-errortype only': (name, status) => answer(status, '', { 'x-amzn-errortype': name }),
  'x-amzn-errortype with an address': (name, status) =>
    answer(
      status,
      { message },
      { 'X-Amzn-ErrorType': `${name}:http://internal.amazon.com/coral/com.amazon.coral.validate/` },
    ),
  'x-amzn-query-error only': (_name, status, queryName) =>
    answer(status, { message }, { 'x-amzn-query-error': `${queryName};Sender` }),
  '__type and x-amzn-query-error, as SQS itself': (name, status, queryName) =>
    answer(status, { __type: `com.amazonaws.sqs#${name}`, message }, { 'x-amzn-query-error': `${queryName};Sender` }),
}

test.each(Object.entries(PLACES))(
  'both clients handle every AWS error as expected if its name is sent as %s',
  async (_place, toAnswer) => {
    const { judge } = await useJudges()
    const told: unknown[] = []
    for (const [name, status, , queryName = name] of ERRORS)
      told.push([name, status, await judge(toAnswer(name, status, queryName))])
    expect(told).toEqual(ERRORS.map(([name, status, expected]) => [name, status, both(expected)]))
  },
)

const page = '<html><body>Request Entity Too Large</body></html>'
const html = { 'content-type': 'text/html' }

test.each<[string, WireAnswer, Told | readonly Told[]]>([
  ['413 of a proxy, with a page', answer(413, page, html), { ...TOO_LARGE, problem: 'relay.sqs.foreign_answer' }],
  ['413 without a body', answer(413, ''), TOO_LARGE],
  ['a redirect with a page', answer(301, page, { ...html, location: 'http://127.0.0.1:1/' }), FOREIGN],
  ['a redirect without a body', answer(307, '', { location: '/elsewhere/' }), RETRY],
  ['200 with a page', answer(200, page, html), FOREIGN],
  [
    '400 with a page, and a name beside it',
    answer(400, page, { 'x-amzn-errortype': 'InvalidMessageContents' }),
    FOREIGN,
  ],
  ['502 with a page', answer(502, page, html), FOREIGN],
  ['503 without a body', answer(503, ''), RETRY],
  ['407 of a proxy', answer(407, ''), { ...SILENT, problem: 'relay.proxy.refused' }],
  ['400 without a body or a name', answer(400, ''), RETRY],
  ['400 with null', answer(400, 'null'), RETRY],
  ['400 with a list', answer(400, '[]'), RETRY],
  ['400 with a name that is a number', answer(400, { __type: 17 }), RETRY],
  ['200 without a body', answer(200, ''), [RETRY, RETRY]],
  ['204', answer(204, ''), [RETRY, RETRY]],
  ['200 with null', answer(200, 'null'), [RETRY, RETRY]],
  ['200 with a list', answer(200, '[{"Id":"0"}]'), [RETRY, RETRY]],
  ['200 with an error in the body', answer(200, { __type: 'InvalidMessageContents' }), [RETRY, RETRY]],
  ['an entry that is missing in the answer', answer(200, { Successful: [{ Id: '1' }] }), [RETRY, 'accepted']],
  ['entries that nobody sent', answer(200, { Successful: [{ Id: '2' }, { Id: '' }, {}] }), [RETRY, RETRY]],
  ['ids that are numbers', answer(200, { Successful: [{ Id: 0 }, { Id: 1 }] }), [RETRY, RETRY]],
  ['nulls in place of lists', answer(200, { Successful: null, Failed: null }), [RETRY, RETRY]],
  [
    'failed entries',
    answer(200, {
      Failed: [
        { Id: '1', Code: 'InvalidMessageContents', SenderFault: true, Message: 'it is too long' },
        { Id: '0', Code: 'AWS.SimpleQueueService.NonExistentQueue', SenderFault: true },
      ],
    }),
    [RETRY, TOO_LARGE],
  ],
  [
    'failed entries without a code, or with nothing in it',
    answer(200, {
      Failed: [
        { Id: '0', SenderFault: true },
        { Id: '1', SenderFault: true, Code: null, Message: null },
      ],
    }),
    [REFUSED, REFUSED],
  ],
  [
    'an answer after an interim one',
    (response) => {
      response.writeProcessing()
      response.end(BOTH_ACCEPTED)
    },
    ['accepted', 'accepted'],
  ],
  ['an answer that ends with its connection', raw(`HTTP/1.1 200 OK\r\n\r\n${BOTH_ACCEPTED}`), ['accepted', 'accepted']],
  [
    'half an answer that ends with its connection',
    raw(`HTTP/1.1 200 OK\r\n\r\n${BOTH_ACCEPTED.slice(0, 40)}`),
    FOREIGN,
  ],
  ['a content-length that is too small', raw(`HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n${BOTH_ACCEPTED}`), FOREIGN],
  ['a content-length that is too large', raw(`HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n${BOTH_ACCEPTED}`), SILENT],
  [
    'a connection reset in the middle of the body',
    (response) => {
      response.writeHead(200, { 'content-length': BOTH_ACCEPTED.length + 1 })
      response.write(BOTH_ACCEPTED, () => response.socket?.resetAndDestroy())
    },
    SILENT,
  ],
  [
    'chunks without the last one',
    raw(
      `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${BOTH_ACCEPTED.length.toString(16)}\r\n${BOTH_ACCEPTED}\r\n`,
    ),
    SILENT,
  ],
  ['half of the head', raw('HTTP/1.1 200 OK\r\ncontent-le'), SILENT],
  ['what is no HTTP', raw('+OK\r\n\r\n'), SILENT],
  ['a connection that is closed at once', (response) => void response.socket?.destroy(), SILENT],
])('%s', async (_name, how, expected) => {
  const { judge, sdk, own, parcels, server } = await useJudges()
  expect(await judge(how)).toEqual(both(expected))
  // The answer does not affect the next request.
  server.state.answer = answer(200, BOTH_ACCEPTED)
  for (const client of [sdk, own]) expect(await tell(client, parcels)).toEqual(['accepted', 'accepted'])
})

test('for any JSON answer both clients return the same result, and accept only ids that the server named', async () => {
  const { judge } = await useJudges()
  const id = fc.constantFrom('0', '1', '2', 0, null, undefined)
  const entry = fc.oneof(
    {
      weight: 9,
      arbitrary: fc.record({
        Id: id,
        Code: fc.constantFrom('InvalidMessageContents', 5, null, undefined),
        SenderFault: fc.constantFrom(true, false, 'true', null),
      }),
    },
    { weight: 1, arbitrary: fc.jsonValue() },
  )
  const list = fc.oneof(
    { weight: 9, arbitrary: fc.array(entry, { maxLength: 3 }) },
    { weight: 1, arbitrary: fc.jsonValue() },
  )
  const answers = fc.oneof(
    { weight: 9, arbitrary: fc.record({ Successful: list, Failed: list }, { requiredKeys: [] }) },
    { weight: 1, arbitrary: fc.jsonValue() },
  )
  await fc.assert(
    fc.asyncProperty(answers, fc.constantFrom(200, 200, 201, 400, 503), async (body, status) => {
      const { sdk, own } = await judge(answer(status, JSON.stringify(body)))
      expect(own).toEqual(sdk)
      const named = JSON.stringify((body as { Successful?: unknown } | null)?.Successful ?? null)
      if (Array.isArray(own))
        own.forEach((told, index) => {
          if (told === 'accepted') expect(named).toContain(`"Id":"${index}"`)
        })
    }),
    { numRuns: 200 },
  )
})

test.each([
  [{ message: 'a character' }, 'InvalidMessageContents: a character'],
  [{ Message: 'a character' }, 'InvalidMessageContents: a character'],
  [{}, 'InvalidMessageContents: UnknownError'],
])('both clients return the same reason and detail for an error with %j', async (words, detail) => {
  const { server, sdk, own, parcels } = await useJudges()
  server.state.answer = answer(400, { __type: 'com.amazonaws.sqs#InvalidMessageContents', ...words })
  for (const { target, limits } of [sdk, own]) {
    const error: unknown = await target
      .send(limits, parcels, new AbortController().signal, 5_000)
      .catch((e: unknown) => e)
    expect(target.explain(error)).toMatchObject({ reason: 'InvalidMessageContents', detail })
  }
})

test.each<[string, WireAnswer, Told]>([
  [
    'an empty header hides the name in the body',
    answer(400, { __type: 'InvalidMessageContents' }, { 'x-amzn-query-error': '' }),
    REFUSED,
  ],
  ['a name that is null hides the other one', answer(400, { code: null, __type: 'InvalidMessageContents' }), REFUSED],
])('the SDK does worse: for it %s', async (_what, how, expected) => {
  const { judge } = await useJudges()
  expect(await judge(how)).toEqual({ sdk: RETRY, own: expected })
})

test('the SDK does worse: it throws a TypeError if the message of an error is not a string', async () => {
  const { server, sdk, own, parcels } = await useJudges()
  server.state.answer = answer(400, { __type: 'InvalidMessageContents', message: { text: 'of the test' } })
  await expect(tell(sdk, parcels)).rejects.toThrow(TypeError)
  expect(await tell(own, parcels)).toEqual(REFUSED)
})
