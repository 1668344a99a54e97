import { GetAccountSettingsCommand, GetFunctionConcurrencyCommand, LambdaClient } from '@aws-sdk/client-lambda'
import { API } from '../stack/names.ts'
import type { StackOptions } from '../stack/options.ts'
import { fail, fixOf, ok, words, type Finding } from './finding.ts'

/** So much of an account's concurrency must stay free for all functions. Source: PutFunctionConcurrency in the Lambda API reference. */
const UNRESERVED = 100

/** What is proposed for the API: some 400 requests a second at 50 ms each. */
const PROPOSED = 20

/**
 * Whether the account has the concurrency that `apiConcurrency` would reserve; without one, what could be reserved. A new account runs ten
 * functions at once, and can reserve nothing.
 */
export async function checkConcurrency(
  region: string,
  { prefix, apiConcurrency }: Pick<StackOptions, 'prefix' | 'apiConcurrency'>,
): Promise<Finding> {
  const lambda = new LambdaClient({ region })
  try {
    const { AccountLimit: limit } = await lambda.send(new GetAccountSettingsCommand({}))
    const total = limit?.ConcurrentExecutions ?? 0
    // What this very function reserves now is given back when it is changed.
    const free = (limit?.UnreservedConcurrentExecutions ?? 0) + (await reservedNow(lambda, prefix + API)) - UNRESERVED
    const ask = `request a quota of 1,000 (Service Quotas, Lambda, Concurrent executions): aws service-quotas request-service-quota-increase --region ${region} --service-code lambda --quota-code L-B99A9384 --desired-value 1000`
    if (apiConcurrency === undefined) {
      if (free >= PROPOSED)
        return ok(
          `the account has a Lambda concurrency of ${total}; --param="apiConcurrency=${PROPOSED}" stops a flood of API requests from delaying screen pops`,
        )
      return {
        ok: true,
        text: `the account has a Lambda concurrency of ${total}, too little to reserve some for the API`,
        fix: ask,
      }
    }
    if (apiConcurrency <= free)
      return ok(`the account has a Lambda concurrency of ${total}, of which ${apiConcurrency} is reserved for the API`)
    const most = free > 0 ? `--param="apiConcurrency=${free}" or less, or ` : 'remove apiConcurrency, or '
    return fail(
      `apiConcurrency ${apiConcurrency} is too large: the account has a Lambda concurrency of ${total}, of which ${UNRESERVED} must stay unreserved, so ${Math.max(0, free)} can be reserved`,
      most + ask,
    )
  } catch (error) {
    const text = `the Lambda concurrency of the account in ${region} cannot be read: ${words(error)}`
    // Nothing depends on it that was not asked for.
    return apiConcurrency === undefined ? ok(text) : fail(text, fixOf(error, region))
  }
}

async function reservedNow(lambda: LambdaClient, FunctionName: string): Promise<number> {
  try {
    const { ReservedConcurrentExecutions = 0 } = await lambda.send(new GetFunctionConcurrencyCommand({ FunctionName }))
    return ReservedConcurrentExecutions
  } catch (error) {
    if (error instanceof Error && error.name === 'ResourceNotFoundException') return 0
    throw error
  }
}
