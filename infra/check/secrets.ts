import { stackName } from '../stack/names.ts'
import { objectsIn, type Template } from './template.ts'

/** Names of things that must not be written down. */
const SECRET = /token|secret|password|passwd|credential|api_?key|private/i

/** A long random text: what a token looks like. */
const RANDOM = /\b(?=[A-Za-z0-9+/_-]*\d)(?=[A-Za-z0-9+/_-]*[A-Za-z])[A-Za-z0-9+/_-]{32,}={0,2}(?![A-Za-z0-9+/_-])/

/** What may be long and random and is no secret: where an artefact is, words for people, who is written to. */
const OPEN = /^(S3Key|AlarmDescription|Handler|Endpoint)$/

/** What is or may be a secret in plain text. What names a parameter that holds one is none. */
export function* checkSecrets(template: Template, prefix: string): Generator<string> {
  // A name of ours may have digits and be long; what is behind its prefix is looked at.
  const withoutPrefix = (text: string) => text.replaceAll(prefix, '').replaceAll(stackName(prefix), '')
  for (const [name, resource] of Object.entries(template.Resources)) {
    for (const [path, object] of objectsIn(resource.Properties, name)) {
      for (const [key, value] of Object.entries(object)) {
        if (typeof value !== 'string') continue
        if (SECRET.test(key) && !key.endsWith('_PARAMETER')) yield `${path}.${key} looks like a secret in plain text`
        else if (RANDOM.test(withoutPrefix(value)) && !OPEN.test(key) && !value.includes(':') && !value.startsWith('/'))
          yield `${path}.${key} holds what looks like a token`
      }
    }
  }
}
