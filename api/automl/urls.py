"""/v1…"""

from api.automl.views import TokenView
from api.base.urls import contract_path

urlpatterns = [contract_path("v1/auth/token", TokenView.as_view(), name="automl-token")]
