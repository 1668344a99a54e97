import type { ApiOptions } from '../api/index.ts'
import { sendReplayStep } from './queues.ts'
import { queuePrefix, setting, store } from './wiring.ts'

/**
 * The options of the read API by the environment: API_TOKEN, API_TOKENS, API_CORS_ORIGIN, ENIGMA_QUEUE_PREFIX, UPSTASH_REDIS_REST_URL
 * and UPSTASH_REDIS_REST_TOKEN.
 */
export async function apiOptions(): Promise<ApiOptions> {
  // Texts of the environment are looked at when the function starts, so that a deployment without a token shows at once, and never answers
  // anybody. Those in Parameter Store are on their way, and may change: each request looks at them.
  const isInParameterStore = ['API_TOKEN', 'API_TOKENS'].some((name) => process.env[`${name}_PARAMETER`] !== undefined)
  const secret = async (name: string) => (isInParameterStore ? () => setting(name) : setting(name))
  // Of the queue that takes the steps of replays; without it, there are none.
  const prefix = queuePrefix()
  const { read, commit } = store()
  return {
    read,
    token: await secret('API_TOKEN'),
    tokens: await secret('API_TOKENS'),
    corsOrigin: process.env['API_CORS_ORIGIN'] ?? '',
    ...(prefix === '' ? {} : { replay: { commit, sendStep: (job: string) => sendReplayStep(prefix, job) } }),
  }
}
