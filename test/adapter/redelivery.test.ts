import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { SqsRecord } from '../../src/adapter/index.ts'
import type { Notification } from '../../src/protocol/index.ts'
import { notification, sqsEvent, sqsRecord } from './factories.ts'
import { createScene, type Answer } from './world.ts'

type Waiting = {
  readonly messageId: string
  readonly group: string
  readonly content: Notification[]
  receiveCount: number
}

/**
 * A FIFO queue as Lambda sees it: up to ten messages, in order within their group. Failed messages are redelivered before later
 * ones. A message that was delivered more often than allowed goes to the dead-letter queue as a whole.
 */
function createQueue(messages: readonly Waiting[], maxReceiveCount: number) {
  let waiting = [...messages]
  const dead: Waiting[] = []
  return {
    dead,
    isEmpty: () => waiting.length === 0,
    receive: (skip: number): SqsRecord[] => {
      const over = waiting.filter((message) => message.receiveCount >= maxReceiveCount)
      dead.push(...over)
      waiting = waiting.filter((message) => !over.includes(message))
      // A batch may hold any groups, but always the oldest messages of each group.
      const groups = [...new Set(waiting.map((message) => message.group))]
      const chosen = groups.filter((_, index) => index % 2 === skip % 2 || groups.length === 1)
      const batch = waiting.filter((message) => chosen.includes(message.group)).slice(0, 1 + (skip % 10))
      return batch.map((message) => sqsRecord(message.content, { ...message, receiveCount: ++message.receiveCount }))
    },
    settle: (received: readonly SqsRecord[], failed: readonly string[]) => {
      const gone = new Set(received.map((record) => record.messageId).filter((id) => !failed.includes(id)))
      waiting = waiting.filter((message) => !gone.has(message.messageId))
    },
  }
}

const REFERENCES = ['A', 'B', 'C', 'D', 'E']
const GROUPS = 2

const streets = fc.record({
  // Packs of notifications, by the index of their reference; the group follows from the pack.
  packs: fc.array(
    fc.record({
      group: fc.nat(GROUPS - 1),
      references: fc.array(fc.nat(REFERENCES.length - 1), { minLength: 1, maxLength: 6 }),
    }),
    { minLength: 1, maxLength: 12 },
  ),
  // The answers of each reference's handler, one for each call.
  answers: fc.array(
    fc.array(fc.constantFrom<Answer>(204, 204, 204, 503, 'throw', 400), { minLength: 1, maxLength: 8 }),
    {
      minLength: REFERENCES.length * GROUPS,
      maxLength: REFERENCES.length * GROUPS,
    },
  ),
  batches: fc.array(fc.nat(19), { minLength: 1, maxLength: 20 }),
  fewAttempts: fc.integer({ min: 1, max: 6 }),
  commitFails: fc.array(fc.boolean(), { maxLength: 6 }),
})

const indexOf = ({ id }: Notification) => Number(id.split('/').at(-1))

test('whatever fails, each notification is done or parked exactly once, and each reference in order', async () => {
  await fc.assert(
    fc.asyncProperty(streets, async ({ packs, answers, batches, fewAttempts, commitFails }) => {
      // A failed commit uses up an attempt of every message. 20 attempts are enough to keep all out of the dead-letter queue.
      const attempts = commitFails.length > 0 ? 20 : fewAttempts
      let index = 0
      let commitNumber = 0
      const messages = packs.map(({ group, references }, at): Waiting => {
        const content = references.map((reference) => notification(`${REFERENCES[reference]}${group}`, index++))
        return { messageId: `m${at}`, group: String(group), content, receiveCount: 0 }
      })
      const calls = new Map<string, number>()
      // What counts: a 204 in a batch whose commit succeeded.
      const done: number[] = []
      const uncommitted: number[] = []
      const scene = createScene(
        (reference, number) => {
          const call = calls.get(reference) ?? 0
          calls.set(reference, call + 1)
          const own = answers[
            REFERENCES.indexOf(reference[0] as string) * GROUPS + Number(reference[1])
          ] as readonly Answer[]
          const answer = own[call % own.length]
          if (answer === 204) uncommitted.push(number)
          return answer
        },
        {
          attempts,
          failCommit: () => {
            const fails = commitFails[commitNumber++] === true
            if (!fails) done.push(...uncommitted.splice(0))
            return fails
          },
        },
      )
      const queue = createQueue(messages, attempts)
      for (let round = 0; !queue.isEmpty(); round++) {
        const received = queue.receive(batches[round % batches.length] as number)
        if (received.length > 0) queue.settle(received, await scene.failed(sqsEvent(...received)))
      }

      const all = messages.flatMap((message) => message.content)
      const parked = scene.parked.map((one) => indexOf(one.notification as Notification))
      expect(queue.dead).toEqual([])
      expect(new Set([...done, ...parked])).toEqual(new Set(all.map(indexOf)))
      expect(new Set(done).size).toBe(done.length)
      for (const reference of new Set(all.map((one) => one.subject))) {
        const own = new Set(all.filter((one) => one.subject === reference).map(indexOf))
        const inOrder = done.filter((number) => own.has(number))
        expect(inOrder).toEqual(inOrder.toSorted((a, b) => a - b))
      }
      // This holds after a failed commit, too: the outcomes of its batch are remembered.
      expect(done.length + parked.length).toBe(all.length)
    }),
    { numRuns: 200 },
  )
})
