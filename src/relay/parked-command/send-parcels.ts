import { SendMessageBatchCommand, type SendMessageBatchRequestEntry, type SQSClient } from '@aws-sdk/client-sqs'
import { CONTENT_ENCODING, GZIP } from '../../protocol/index.ts'
import { backoffMs, sleep } from '../../runtime/index.ts'
import { describe } from '../errors.ts'
import { toGzippedPack, type Pack } from '../sender/pack.ts'
import { codeOf, isForSize, judgeEntry, judgeRequest } from '../sender/verdict.ts'

/** A pack and the message group that it goes to. */
export type Parcel = { readonly group: string; readonly pack: Pack }

/** What became of a parcel. `refused`: its content is not taken. `failed`: nothing was wrong with it, but SQS did not take it in time. */
export type Answer = { readonly kind: 'accepted' } | { readonly kind: 'refused'; readonly why: string } | Failure

/** `error`: of the whole request. */
export type Failure = { readonly kind: 'failed'; readonly why: string; readonly error?: unknown }

/** A request carries at most this many packs. Source: SendMessageBatch in the SQS API reference. */
export const REQUEST_PARCELS = 10

const TRIES = 5

/** Sends up to ten parcels of different groups, and those that may yet be taken a few times more. An answer for each, in their order. */
export async function sendParcels(sqs: SQSClient, url: string, parcels: readonly Parcel[]): Promise<Answer[]> {
  const answers = new Map<Parcel, Answer>()
  let left = parcels
  for (let failures = 1; left.length > 0; failures++) {
    const latest = await sendFitting(sqs, url, left)
    left.forEach((parcel, index) => answers.set(parcel, latest[index] as Answer))
    left = left.filter((parcel) => answers.get(parcel)?.kind === 'failed')
    if (failures === TRIES) break
    if (left.length > 0) await sleep(backoffMs(failures))
  }
  return parcels.map((parcel) => answers.get(parcel) as Answer)
}

/** What is only too large for this server, though not for its queue, goes again gzipped. */
async function sendFitting(sqs: SQSClient, url: string, parcels: readonly Parcel[]): Promise<Answer[]> {
  const answers = await sendOnce(sqs, url, parcels)
  for (const [index, parcel] of parcels.entries()) {
    const answer = answers[index] as Answer
    if (answer.kind !== 'refused' || parcel.pack.gzipped || !isForSize('', answer.why)) continue
    const pack = await toGzippedPack(parcel.pack.items, parcel.pack.bytes - 1)
    if (pack !== undefined) answers[index] = (await sendOnce(sqs, url, [{ ...parcel, pack }]))[0] as Answer
  }
  return answers
}

async function sendOnce(sqs: SQSClient, url: string, parcels: readonly Parcel[]): Promise<Answer[]> {
  try {
    const answer = await sqs.send(new SendMessageBatchCommand({ QueueUrl: url, Entries: parcels.map(toEntry) }))
    const accepted = new Set(answer.Successful?.map((entry) => entry.Id))
    const failed = new Map(answer.Failed?.map((entry) => [entry.Id, entry]))
    return parcels.map((_, index): Answer => {
      if (accepted.has(String(index))) return { kind: 'accepted' }
      const failure = failed.get(String(index))
      if (failure === undefined) return { kind: 'failed', why: 'the response of SQS does not mention this message' }
      return {
        kind: judgeEntry(failure) === 'refused' ? 'refused' : 'failed',
        why: `${failure.Code}: ${failure.Message ?? ''}`,
      }
    })
  } catch (error) {
    if (judgeRequest(error) === 'retry') return parcels.map(() => ({ kind: 'failed', why: describe(error), error }))
    if (parcels.length === 1)
      return [
        { kind: 'refused', why: isForSize(codeOf(error), '') ? `too large: ${describe(error)}` : describe(error) },
      ]
    // A request that was refused whole says nothing of its entries: each alone.
    const answers: Answer[] = []
    for (const parcel of parcels) answers.push(...(await sendOnce(sqs, url, [parcel])))
    return answers
  }
}

function toEntry({ group, pack }: Parcel, index: number): SendMessageBatchRequestEntry {
  return {
    Id: String(index),
    MessageBody: pack.body,
    MessageGroupId: group,
    MessageDeduplicationId: pack.deduplicationId,
    ...(pack.gzipped ? { MessageAttributes: { [CONTENT_ENCODING]: { DataType: 'String', StringValue: GZIP } } } : {}),
  }
}
