/** What was looked at, and what mends it. */
export type Finding = { readonly ok: boolean; readonly text: string; readonly fix?: string }

export const ok = (text: string): Finding => ({ ok: true, text })
export const fail = (text: string, fix?: string): Finding => ({
  ok: false,
  text,
  ...(fix === undefined ? {} : { fix }),
})

/** The words of an error; the deepest cause says what happened. What the SDK adds for its developers is left out. */
export function words(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return words(error.errors[0])
  return (
    (error instanceof Error ? error.message || error.name : String(error)).split('\n')[0] ||
    'an error without a message'
  )
}

/** What mends an error of AWS. */
export function fixOf(error: unknown, region: string): string {
  const code = error instanceof Error ? `${error.name} ${error.message}` : ''
  if (/ENOTFOUND|getaddrinfo/.test(code)) return `check that ${region} is a region; aws ec2 describe-regions lists them`
  if (/AccessDenied|NotAuthorized/.test(code)) return 'allow your user to read it, or use another AWS_PROFILE'
  if (/Token|Signature|AccessKey|Credential|Expired/.test(code))
    return 'log in again; aws sts get-caller-identity shows whether AWS accepts the credentials'
  return `check the network, and that ${region} is enabled for your account`
}
