// Swagger UI over the contracts' documents; its top bar chooses among them.
const documents = JSON.parse(document.getElementById("documents").textContent);

SwaggerUIBundle({
  urls: documents,
  dom_id: "#swagger-ui",
  deepLinking: true,
  persistAuthorization: false,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
  layout: "StandaloneLayout",
  // A signed-in browser's own calls need the proof that one of our pages sent them.
  requestInterceptor: (request) => {
    if (new URL(request.url, location.href).origin === location.origin && request.method && request.method !== "GET") {
      request.headers["X-CSRFToken"] = document.body.dataset.csrfToken;
    }
    return request;
  },
});
