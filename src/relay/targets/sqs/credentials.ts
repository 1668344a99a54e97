import { defaultProvider } from '@aws-sdk/credential-provider-node'
import type { SQSClientConfig } from '@aws-sdk/client-sqs'
import type { Logger } from '../../../runtime/index.ts'
import { describe } from '../../errors.ts'
import { isForCredentials } from './verdict.ts'

export type CredentialsOptions = {
  /** For requests to STS and SSO. */
  readonly requestHandler: SQSClientConfig['requestHandler']
  readonly log?: Logger | undefined
  /** Default: `performance.now`. */
  readonly now?: () => number
}

/** The chain is resolved again at most so often (ms) while AWS does not accept the credentials: a program or STS may be behind it. */
const RENEW_MS = 2_000

/** The same while AWS denies access: other credentials may have it, as a rule they do not. */
const DENIED_MS = 60_000

/**
 * The SDK's standard chain of credential providers, which otherwise reads files once, and keeps what has no end until the process
 * ends. When AWS does not accept the credentials, it is resolved again, files included.
 */
export function createCredentials({ requestHandler, log, now = () => performance.now() }: CredentialsOptions) {
  const chain = defaultProvider({
    ignoreCache: true,
    ...(requestHandler === undefined ? {} : { clientConfig: { requestHandler } }),
  })
  let renewedMs = Number.NEGATIVE_INFINITY
  let renewing: Promise<void> | undefined
  let keyId: string | undefined

  const provide = async (...args: Parameters<typeof chain>) => {
    const credentials = await chain(...args)
    keyId = credentials.accessKeyId
    return credentials
  }

  const renew = async (): Promise<void> => {
    const former = keyId
    try {
      const { accessKeyId } = await chain({ forceRefresh: true })
      keyId = accessKeyId
      // The chain may also have renewed them by itself, with the same key.
      if (accessKeyId !== former)
        log?.info(
          { code: 'relay.credentials.renewed' },
          'AWS did not accept the credentials; the relay resolved them again and uses the new ones',
        )
    } catch (error) {
      log?.debug(
        { code: 'relay.credentials.not_renewed', error: describe(error) },
        'AWS does not accept the credentials, and the relay has found no others yet',
      )
    }
  }

  return {
    /** For `credentials` of a client; `memoized` says that the chain keeps them itself. */
    provider: Object.assign(provide, { memoized: true }),
    /** To be called with each error that AWS answers; finds new credentials if that may help. Never throws. */
    async note(rejection: unknown): Promise<void> {
      const everyMs = isForCredentials(rejection) ? RENEW_MS : isDenied(rejection) ? DENIED_MS : undefined
      if (everyMs === undefined || now() - renewedMs < everyMs) return
      renewedMs = now()
      renewing ??= renew().finally(() => {
        renewing = undefined
      })
      await renewing
    },
  }
}

const isDenied = (error: unknown): boolean => {
  const status = (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode
  return status === 401 || status === 403
}
