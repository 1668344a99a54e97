import { onTestFinished } from 'vitest'

type Env = Readonly<Record<string, string | undefined>>

/**
 * Sets variables of this process (undefined deletes them). Returns a function that restores them. Never replaces `process.env` with a copy:
 * variables would then stay set in the real environment after they are deleted, in all later tests of this process.
 */
function setEnv(env: Env): () => void {
  const former = Object.keys(env).map((name) => [name, process.env[name]] as const)
  const set = (variables: Iterable<readonly [string, string | undefined]>) => {
    for (const [name, value] of variables)
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
  }
  set(Object.entries(env))
  return () => set(former)
}

/** Sets variables until the test ends. */
export function useEnv(env: Env): void {
  onTestFinished(setEnv(env))
}

/** Sets the variables of a function whose read model and queues are on these servers, and `more`, until the test ends. */
export function useFunctionEnv(
  proxy: { readonly url: string },
  sqs: { readonly endpoint: string },
  more: Env = {},
): void {
  useEnv({
    UPSTASH_REDIS_REST_URL: proxy.url,
    UPSTASH_REDIS_REST_TOKEN: 'test-token',
    AWS_ENDPOINT_URL_SQS: sqs.endpoint,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
    ...more,
  })
}

/** Sets variables while `work` runs. */
export async function withEnv<T>(env: Env, work: () => Promise<T>): Promise<T> {
  const setBack = setEnv(env)
  try {
    return await work()
  } finally {
    setBack()
  }
}
