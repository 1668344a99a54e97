import { SendMessageBatchCommand, type SendMessageBatchCommandInput, type SQSClient } from '@aws-sdk/client-sqs'
import { onTestFinished, vi } from 'vitest'
import { readConfig } from '../../src/relay/index.ts'
import { createOutages } from '../../src/relay/sender/back-pressure.ts'
import type { Endpoint, Outcome, Parcel, Rejection, Target } from '../../src/relay/targets/target.ts'
import { createSqs, type BatchAnswer, type BatchClient } from '../../src/relay/targets/sqs/sqs-client.ts'
import { createSqsTarget } from '../../src/relay/targets/sqs/sqs-target.ts'
import { captureLog } from './log.ts'
import { routeOf } from './routes.ts'

export const CREDENTIALS = {
  accessKeyId: 'AKIDTEST',
  secretAccessKey: 'secret/of+the=test',
  sessionToken: 'token/of+the=test==',
}

/** Sends the same requests with the SDK, as the reference for our own client. */
export const sdkBatches = (sqs: SQSClient): BatchClient => ({
  sqs,
  async send(body, signal, limitMs): Promise<BatchAnswer> {
    const input = JSON.parse(Buffer.from(body).toString()) as SendMessageBatchCommandInput
    const options = { abortSignal: signal, requestTimeout: limitMs }
    return (await sqs.send(new SendMessageBatchCommand(input), options)) as BatchAnswer
  },
})

/** Creates the SDK and our own client, each behind a target of the route agents/status, with separate clocks and connections. */
export async function useClients(endpoint: string, region = 'us-east-1') {
  vi.stubEnv('AWS_ACCESS_KEY_ID', CREDENTIALS.accessKeyId)
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', CREDENTIALS.secretAccessKey)
  vi.stubEnv('AWS_SESSION_TOKEN', CREDENTIALS.sessionToken)
  onTestFinished(() => void vi.unstubAllEnvs())
  const { log } = captureLog()
  const useClient = async (batchesOf: (sqs: ReturnType<typeof createSqs>) => BatchClient) => {
    const sqs = createSqs(readConfig({ AWS_REGION: region, AWS_ENDPOINT_URL_SQS: endpoint }), {
      requestTimeoutMs: 5_000,
    })
    onTestFinished(() => sqs.destroy())
    const route = routeOf('agents', 'status')
    const target = createSqsTarget({
      route,
      queuePrefix: 'enigma-',
      batches: batchesOf(sqs),
      log,
      outages: createOutages(log),
    })
    const limits = (await target.find(new AbortController().signal, () => undefined)) as Endpoint
    return { sqs, target, limits }
  }
  return { sdk: await useClient(sdkBatches), own: await useClient(({ batches }) => batches) }
}

export type Client = { readonly target: Target; readonly limits: Endpoint }

/** An outcome, as a client reports it to the sender. */
export type Told = 'accepted' | (Omit<Rejection, 'reason' | 'detail' | 'problem'> & { readonly problem: string })

const toTold = (outcome: Outcome): Told => {
  if (outcome === 'accepted') return outcome
  if (outcome.verdict === 'unfinished') throw new TypeError('SQS finishes nothing in part')
  const { verdict, isForSize, isAnswer, isMissing, problem, reason, detail } = outcome
  // The parked list stores both as text.
  if (typeof reason !== 'string' || typeof detail !== 'string') throw new TypeError(`no text: ${reason}, ${detail}`)
  return { verdict, isForSize, isAnswer, isMissing, problem: problem.code }
}

/** Sends parcels. Returns the outcome of each, or of the whole request. */
export async function tell(
  { target, limits }: Client,
  parcels: readonly Parcel[],
  { signal = new AbortController().signal, limitMs = 5_000 } = {},
): Promise<Told | readonly Told[]> {
  try {
    return (await target.send(limits, parcels, signal, limitMs)).map(toTold)
  } catch (error) {
    return toTold(target.explain(error))
  }
}
