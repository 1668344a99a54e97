import { objectsIn, type Template } from './template.ts'

/** Names of things that must not be written down. */
const SECRET = /token|secret|password|passwd|credential|api_?key|private/i

/** A long random text: what a token looks like. */
const RANDOM = /\b(?=[A-Za-z0-9+/_-]*\d)(?=[A-Za-z0-9+/_-]*[A-Za-z])[A-Za-z0-9+/_-]{32,}={0,2}(?![A-Za-z0-9+/_-])/

/** What is or may be a secret in plain text. What names a parameter that holds one is none. */
export function* checkSecrets(template: Template): Generator<string> {
  for (const [name, resource] of Object.entries(template.Resources)) {
    for (const [path, object] of objectsIn(resource.Properties, name)) {
      for (const [key, value] of Object.entries(object)) {
        if (typeof value !== 'string') continue
        if (SECRET.test(key) && !key.endsWith('_PARAMETER')) yield `${path}.${key} looks like a secret in plain text`
        else if (RANDOM.test(value) && !/^(S3Key|AlarmDescription|Handler)$/.test(key) && !value.includes(':') && !value.startsWith('/')) yield `${path}.${key} holds what looks like a token`
      }
    }
  }
}
