import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { StreetError } from '../errors.ts'
import type { FunctionSpec } from './environment.ts'

/** A function of a compiled template. */
export type TemplateFunction = Omit<FunctionSpec, 'taskRoot'> & {
  /** The name of its artefact: `campaignsCdr.zip`. */
  readonly artefact: string
  /** The queue that feeds it. */
  readonly queue?: { readonly name: string; readonly batchSize: number; readonly maxConcurrency: number }
  /** Whether its URL streams answers; undefined when it has none. */
  readonly url?: { readonly streams: boolean }
}

type Resource = { readonly Type: string; readonly Properties: Readonly<Record<string, unknown>> }
type Template = { readonly Resources: Readonly<Record<string, Resource>> }

/** The template in a folder that the framework packaged into. */
export const TEMPLATE_FILE = 'cloudformation-template-update-stack.json'

/** The functions of a packaged stack, exactly as the template sets them. @throws StreetError `dev.bundles.bad_template` when a value is not plain text */
export async function readTemplateFunctions(folder: string): Promise<TemplateFunction[]> {
  const { Resources } = JSON.parse(await readFile(join(folder, TEMPLATE_FILE), 'utf8')) as Template
  const ofType = (type: string) => Object.entries(Resources).filter(([, resource]) => resource.Type === type)
  return ofType('AWS::Lambda::Function').map(([logicalId, { Properties: p }]) => {
    const mapping = ofType('AWS::Lambda::EventSourceMapping').find(
      ([, one]) => targetOf(one.Properties['FunctionName']) === logicalId,
    )?.[1].Properties
    const url = ofType('AWS::Lambda::Url').find(
      ([, one]) => targetOf(one.Properties['TargetFunctionArn']) === logicalId,
    )?.[1].Properties
    const code = p['Code'] as { readonly S3Key: string }
    const environment =
      (p['Environment'] as { readonly Variables?: Readonly<Record<string, unknown>> } | undefined)?.Variables ?? {}
    return {
      name: p['FunctionName'] as string,
      handler: p['Handler'] as string,
      memoryMiB: p['MemorySize'] as number,
      timeoutMs: (p['Timeout'] as number) * 1_000,
      variables: Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, plain(name, value)])),
      artefact: code.S3Key.slice(code.S3Key.lastIndexOf('/') + 1),
      ...(mapping === undefined ? {} : { queue: toQueue(mapping, Resources) }),
      ...(url === undefined ? {} : { url: { streams: url['InvokeMode'] === 'RESPONSE_STREAM' } }),
    }
  })
}

function toQueue(mapping: Resource['Properties'], resources: Template['Resources']) {
  const queue = resources[targetOf(mapping['EventSourceArn']) ?? '']
  const scaling = mapping['ScalingConfig'] as { readonly MaximumConcurrency: number }
  return {
    name: queue?.Properties['QueueName'] as string,
    batchSize: mapping['BatchSize'] as number,
    maxConcurrency: scaling.MaximumConcurrency,
  }
}

/** The logical id that a reference means. */
function targetOf(value: unknown): string | undefined {
  const { Ref, 'Fn::GetAtt': attribute } = value as { Ref?: string; 'Fn::GetAtt'?: readonly string[] }
  return Ref ?? attribute?.[0]
}

function plain(name: string, value: unknown): string {
  if (typeof value === 'string') return value
  throw new StreetError(
    'dev.bundles.bad_template',
    `CloudFormation makes the value of the variable ${name}: a local function cannot have it`,
  )
}
