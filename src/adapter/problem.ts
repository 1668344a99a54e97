import { HTTPException } from 'hono/http-exception'
import { isObject, maskText, type SchemaIssue } from '../protocol/index.ts'

/** An error that answers with problem+json. Source: RFC 9457. */
export function problem(status: 400 | 422, title: string, detail: string): HTTPException {
  const headers = { 'content-type': 'application/problem+json' }
  const body = JSON.stringify({ type: 'about:blank', title, status, detail })
  return new HTTPException(status, { message: `${title}: ${detail}`, res: new Response(body, { status, headers }) })
}

const MOST_ISSUES = 5

/** `payload.status: must not be empty; payload.end_code` : the fields that do not fit and why, never what is in them. */
export function describeIssues(issues: readonly SchemaIssue[], payload: unknown): string {
  const described = issues.slice(0, MOST_ISSUES).map((issue) => {
    const path = (issue.path ?? []).map((part) => (typeof part === 'object' ? part.key : part))
    const field = maskText(['payload', ...path.map(String)].join('.'))
    return quotesValue(issue.message, valueAt(payload, path))
      ? `${field} does not match the schema`
      : `${field}: ${maskText(issue.message, payload)}`
  })
  if (issues.length > MOST_ISSUES) described.push(`and ${issues.length - MOST_ISSUES} more`)
  return described.join('; ')
}

function valueAt(payload: unknown, path: readonly PropertyKey[]): unknown {
  let value = payload
  for (const key of path) value = isObject(value) || Array.isArray(value) ? Reflect.get(value, key) : undefined
  return value
}

// Several libraries write what they received into the message.
function quotesValue(message: string, value: unknown): boolean {
  if (typeof value === 'string') return value !== '' && message.includes(value)
  return typeof value === 'number' && message.includes(String(value))
}
