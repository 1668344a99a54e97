import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { isTooLarge, readBody } from '../../../src/protocol/index.ts'
import { readNumbers } from '../../support/items.ts'
import { waitFor } from '../../support/relay.ts'
import { isInOrder, useSender } from '../../support/sender.ts'
import { bytesOf, SMALLER_SERVERS } from '../../support/smaller-sqs.ts'
import { useSqsFaults } from '../../support/sqs-faults.ts'

const KIB = 1024

type Server = Awaited<ReturnType<typeof useSqsFaults>>

/** The ids of what was accepted, gzipped or not, in order. */
const acceptedIds = async ({ accepted }: Server): Promise<string[]> => {
  const all = []
  for (const { MessageBody, MessageAttributes } of accepted)
    all.push(...(await readBody(MessageBody, MessageAttributes?.['content-encoding']?.StringValue)))
  return all.map(({ id }) => id)
}

test.each(SMALLER_SERVERS)(
  'a notification that only this server finds too large (%s) is sent gzipped, in order',
  async (_name, answer) => {
    const server = await useSqsFaults()
    server.state.answer = answer
    const { push, drained, parked } = useSender(server.sqs)
    push('1000', 0)
    push('1000', 1, { padding: 'x'.repeat(300 * KIB) })
    push('1000', 2)
    await drained()
    expect(await acceptedIds(server)).toEqual(['main/p/2000/0', 'main/p/2000/1', 'main/p/2000/2'])
    expect(parked).toEqual([])
  },
)

test.each(SMALLER_SERVERS)(
  'a notification that is too large for this server even when gzipped (%s) is parked as too large, and its neighbours arrive',
  async (_name, answer) => {
    const server = await useSqsFaults()
    server.state.answer = answer
    const { push, drained, parked } = useSender(server.sqs)
    push('1000', 0)
    push('1000', 1, { noise: randomBytes(300 * KIB).toString('base64') })
    push('1000', 2)
    await drained()
    expect(parked).toMatchObject([{ id: 'main/p/2000/1', reason: 'too_large' }])
    expect(await acceptedIds(server)).toEqual(['main/p/2000/0', 'main/p/2000/2'])
  },
)

test('the detail of a notification that is too large for its queue names the limit and is not masked', async () => {
  const server = await useSqsFaults()
  const { push, drained, parked } = useSender(server.sqs)
  push('1000', 0, { noise: randomBytes(1_100 * KIB).toString('base64') })
  await drained()
  expect(parked.map(({ detail }) => [detail, isTooLarge(detail)])).toEqual([
    ['more than the 1048576 bytes of enigma-agents-status.fifo, also when gzipped', true],
  ])
})

test('if a server accepts smaller requests than its queue allows, the sender makes smaller requests after at most two rejections', async () => {
  const server = await useSqsFaults()
  let refused = 0
  server.state.answer = (request) => {
    if (bytesOf(request) <= 256 * KIB) return 'accept'
    refused++
    return { status: 400, code: 'BatchRequestTooLong' }
  }
  const { push, drained, parked, coded } = useSender(server.sqs, { inFlight: 1 })
  for (let n = 0; n < 40; n++)
    for (let agent = 1_000; agent < 1_010; agent++) push(String(agent), n, { padding: 'x'.repeat(40 * KIB) })
  await drained(30_000)
  // The first full request, and the one that was still too large after that.
  expect(refused).toBeLessThanOrEqual(2)
  expect(coded('relay.sqs.smaller_requests').length).toBe(refused)
  const numbers = server.accepted.flatMap(({ MessageBody }) => readNumbers(MessageBody))
  expect(numbers).toHaveLength(400)
  expect(isInOrder(numbers)).toBe(true)
  expect(parked).toEqual([])
})

test('a limit that is raised at run time is read again before anything is parked as too large', async () => {
  const server = await useSqsFaults({ maxBytes: 256 * KIB })
  const { push, drained, parked } = useSender(server.sqs)
  push('1000', 0)
  await waitFor(() => server.accepted.length === 1, 'the first to arrive')
  server.state.maxBytes = 1024 * KIB
  push('1000', 1, { noise: randomBytes(300 * KIB).toString('base64') })
  push('1000', 2)
  await drained()
  expect(await acceptedIds(server)).toEqual(['main/p/2000/0', 'main/p/2000/1', 'main/p/2000/2'])
  expect(parked).toEqual([])
})
