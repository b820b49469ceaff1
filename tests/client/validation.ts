// Holds every answer of the shop against its document: the status must stand there, the content type too, and the
// body must be what its schema says, with no member beside.

import { readFileSync } from "node:fs";

import { Ajv2020, type AnySchemaObject } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import type { Middleware } from "openapi-fetch";

interface Document {
  paths: Record<string, Record<string, { responses: Record<string, Response> }>>;
  components: { schemas: Record<string, AnySchemaObject> };
}

interface Response {
  content?: Record<string, { schema: AnySchemaObject }>;
}

const document: Document = JSON.parse(readFileSync("openapi.json", "utf8"));

// A client must not mind members that it does not know, so the document allows them. But these are the shop's own
// answers: a member that its own document does not know is missing there.
for (const schema of Object.values(document.components.schemas)) {
  schema.unevaluatedProperties ??= false;
}

const ajv = new Ajv2020({ strict: false, allErrors: true });
formats.default(ajv);

/** How many answers were held against the document. */
export const validated = { answers: 0 };

export const validation: Middleware = {
  async onResponse({ request, response, schemaPath }) {
    const what = `${request.method} ${schemaPath}: ${response.status}`;
    const operation = document.paths[schemaPath]?.[request.method.toLowerCase()];
    const answer = operation?.responses[response.status];
    if (!answer) throw new Error(`${what} is not documented`);

    const contentType = response.headers.get("content-type")?.split(";")[0] ?? "none";
    const content = answer.content?.[contentType];
    if (!content) throw new Error(`${what} with the content type ${contentType} is not documented`);

    const body: unknown = await response.clone().json();
    const isValid = ajv.compile({ ...content.schema, components: document.components });
    if (!isValid(body)) {
      throw new Error(`${what} is not what is documented: ${ajv.errorsText(isValid.errors)}: ${JSON.stringify(body)}`);
    }
    validated.answers += 1;
  },
};
