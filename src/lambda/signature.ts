import { createHash, createHmac } from 'node:crypto'

export type Credentials = {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string | undefined
}

export type Signing = {
  /** With no query. */
  readonly url: URL
  /** All are signed. Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** `ssm` */
  readonly service: string
  readonly region: string
  readonly credentials: Credentials
  /** Unix ms. */
  readonly nowMs: number
}

/**
 * The headers of a POST to AWS, and those that sign it.
 * Source: "AWS Signature Version 4 for API requests" in the IAM user guide.
 */
export function signPost({ url, headers, body, service, region, credentials, nowMs }: Signing): Record<string, string> {
  const { accessKeyId, secretAccessKey, sessionToken } = credentials
  const date = new Date(nowMs).toISOString().replace(/[-:]|\.\d{3}/g, '')
  const day = date.slice(0, 8)
  const signed = {
    ...headers,
    'x-amz-date': date,
    ...(sessionToken === undefined ? {} : { 'x-amz-security-token': sessionToken }),
  }
  const lines = Object.entries({ ...signed, host: url.host }).toSorted(([a], [b]) => (a < b ? -1 : 1))
  const names = lines.map(([name]) => name).join(';')
  const path = url.pathname.split('/').map(encode).join('/')
  const request = [
    'POST',
    path,
    '',
    ...lines.map(([name, value]) => `${name}:${value.trim().replace(/\s+/g, ' ')}`),
    '',
    names,
    sha256(body),
  ].join('\n')
  const scope = [day, region, service, 'aws4_request'].join('/')
  const key = [day, region, service, 'aws4_request'].reduce<string | Buffer>(
    (former, part) => createHmac('sha256', former).update(part).digest(),
    `AWS4${secretAccessKey}`,
  )
  const signature = createHmac('sha256', key)
    .update(['AWS4-HMAC-SHA256', date, scope, sha256(request)].join('\n'))
    .digest('hex')
  return {
    ...signed,
    authorization: `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope}, SignedHeaders=${names}, Signature=${signature}`,
  }
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

/** As AWS escapes a segment of a path. */
const encode = (segment: string): string =>
  encodeURIComponent(segment).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
