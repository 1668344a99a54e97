import { lookUp } from './schemas.ts'
import { objectsIn, type Template } from './template.ts'

/** What CloudFormation knows by itself. */
const PSEUDO = new Set([
  'AWS::AccountId',
  'AWS::NotificationARNs',
  'AWS::NoValue',
  'AWS::Partition',
  'AWS::Region',
  'AWS::StackId',
  'AWS::StackName',
  'AWS::URLSuffix',
])

/** References that lead nowhere: of `Ref`, `Fn::GetAtt`, `Fn::Sub` and `DependsOn`. */
export function* checkReferences({ Resources, Outputs = {} }: Template): Generator<string> {
  const isKnown = (name: string) => PSEUDO.has(name) || Resources[name] !== undefined
  for (const [where, part] of Object.entries({ ...Resources, ...Outputs })) {
    for (const [path, object] of objectsIn(part)) {
      const at = `${where}${path === '' ? '' : `.${path}`}`
      const { Ref, 'Fn::GetAtt': attribute, 'Fn::Sub': text, DependsOn } = object
      if (typeof Ref === 'string' && !isKnown(Ref)) yield `${at}: Ref of ${Ref}, which does not exist`
      for (const name of toNames(DependsOn))
        if (path === '' && !isKnown(name)) yield `${at}: DependsOn ${name}, which does not exist`
      if (attribute !== undefined) yield* checkAttribute(Resources, attribute, at)
      const template = Array.isArray(text) ? String(text[0]) : text
      if (typeof template === 'string') {
        for (const [, name = ''] of template.matchAll(/\$\{([^!}][^}]*)\}/g))
          if (!isKnown(name.split('.')[0] ?? '')) yield `${at}: Fn::Sub of ${name}, which does not exist`
      }
    }
  }
}

function* checkAttribute(resources: Template['Resources'], attribute: unknown, at: string): Generator<string> {
  const [name = '', ...rest] = Array.isArray(attribute) ? attribute.map(String) : String(attribute).split('.')
  const resource = resources[name]
  if (resource === undefined) return yield `${at}: Fn::GetAtt of ${name}, which does not exist`
  const known = lookUp(resource.Type)?.attributes
  if (known !== undefined && !known.has(rest.join('.')))
    yield `${at}: ${name} is a ${resource.Type} and has no attribute ${rest.join('.')}`
}

const toNames = (value: unknown): string[] => [value].flat().filter((name) => typeof name === 'string')
