"""/auth…"""

from api.base.urls import contract_path
from api.tracking.views import LoginView, MeView, RefreshView, RegisterView

urlpatterns = [
    contract_path("auth/register", RegisterView.as_view(), name="tracking-register"),
    contract_path("auth/login", LoginView.as_view(), name="tracking-login"),
    contract_path("auth/refresh", RefreshView.as_view(), name="tracking-refresh"),
    contract_path("auth/me", MeView.as_view(), name="tracking-me"),
]
